import type { CertificateRecord } from '../../control/ca/certificate-store.ts';
import { parseSpiffeId, probeSpiffeId, trustDomainOf } from '../../core/identity/spiffe-id.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { verifyPath } from '../../core/x509/verify-path.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { Identity, Node, Peer, ViolationReason } from './peer.ts';
import type { RevokedIndex } from './revoked-index.ts';

/** What the store knows of a certificate that it issued. */
export type CertificateOwner = Pick<
  CertificateRecord,
  'proxyId' | 'spiffeId' | 'environment' | 'region' | 'status' | 'door' | 'profile' | 'revokedAt'
>;

export type AuthenticateDeps = {
  /** The authorities of now; read again on each connection. */
  readonly trust: () => { readonly anchors: readonly Certificate[]; readonly intermediates: readonly Certificate[] };
  /** `findCertificate` of control/ca. */
  readonly findCertificate: (issuerKeySha256: string, serial: Uint8Array) => Promise<CertificateOwner | null>;
  /** How long after its end a certificate of this profile may be renewed. */
  readonly graceMs: (environment: string, profile: ProfileName) => number;
  readonly revoked: RevokedIndex;
  readonly clock: Clock;
};

/**
 * Who stands at the other end, by the certificate of the connection alone: an RFC 5280 path to an authority of ours, not revoked,
 * not suspended, and on record as a data plane's. One that ended is looked at as of its end: within the grace of its profile it is good for its renewal. What the peer says about itself (xDS `Node`) is not looked at.
 */
export async function authenticateNode(deps: AuthenticateDeps, chain: readonly Uint8Array[]): Promise<Peer> {
  if (chain.length === 0) return { kind: 'anonymous' };
  const now = deps.clock.now();
  const proved = provePath(now, deps, chain);
  if (proved.kind === 'refused') return proved;
  const { leaf, issuerKeySha256 } = proved;
  const owner = await deps.findCertificate(issuerKeySha256, leaf.serial);
  if (owner === null || !isInService(owner)) return refused('certificate-unknown', leaf.serialHex);
  const uris = leaf.subjectAltNames.uri;
  if (uris.length !== 1 || uris[0] !== owner.spiffeId) return refused('certificate-unknown', 'the name on record is another');
  const spiffeId = parseSpiffeId(uris[0]);
  const identity: Identity = {
    proxyId: owner.proxyId,
    spiffeId,
    environment: owner.environment,
    region: owner.region,
    isProbe: spiffeId === probeSpiffeId(trustDomainOf(spiffeId), owner.environment),
    issuerKeySha256,
    serialHex: leaf.serialHex,
    staysUntil: leaf.notAfter,
  };
  const reason = deps.revoked.judge(identity);
  if (reason !== null) return refused(reason, '');
  if (owner.proxyId === null) return now <= leaf.notAfter ? { kind: 'workload', identity } : refused('certificate-expired', '');
  const node: Node = { ...identity, proxyId: owner.proxyId };
  return now <= leaf.notAfter ? { kind: 'node', node } : judgeLapsed(now, deps, owner, node);
}

/** The revoked set forgets what has ended; the record does not. */
function judgeLapsed(now: Instant, { graceMs }: AuthenticateDeps, { environment, profile, revokedAt }: CertificateOwner, node: Node): Peer {
  if (revokedAt !== null) return refused('revoked', '');
  const staysUntil = node.staysUntil + graceMs(environment, profile);
  return now <= staysUntil ? { kind: 'lapsed', node: { ...node, staysUntil } } : refused('certificate-expired', '');
}

/** Why a node that was admitted may not stay, or null. */
export function dismissalOf(now: Instant, revoked: RevokedIndex, node: Identity): ViolationReason | null {
  return now > node.staysUntil ? 'certificate-expired' : revoked.judge(node);
}

/** Given out to be served: not withheld, not a drill's, not the control plane's own, not another CA's. A data plane's is one that it joined or renewed by. */
function isInService({ status, door, proxyId, spiffeId }: CertificateOwner): boolean {
  if (status !== 'issued') return false;
  return proxyId === null ? spiffeId !== null && workloadDoors.has(door) : door === 'join' || door === 'renewal';
}

const workloadDoors: ReadonlySet<CertificateOwner['door']> = new Set(['rest', 'renewal', 'acme', 'est', 'scep', 'cmp']);

type Proved = { readonly kind: 'proved'; readonly leaf: Certificate; readonly issuerKeySha256: string };

function provePath(now: Instant, { trust }: AuthenticateDeps, chain: readonly Uint8Array[]): Proved | Extract<Peer, { kind: 'refused' }> {
  try {
    const [leaf, ...presented] = chain.map((der) => parseCertificate(der));
    const { anchors, intermediates } = trust();
    const at = Math.min(now, leaf!.notAfter);
    const verdict = verifyPath({ leaf: leaf!, intermediates: [...presented, ...intermediates], anchors, usage: 'client', now: at });
    if (verdict.kind === 'invalid') return refused('certificate-invalid', verdict.reason);
    return { kind: 'proved', leaf: leaf!, issuerKeySha256: verdict.path[1]!.spkiSha256 };
  } catch {
    return refused('certificate-invalid', 'it cannot be parsed');
  }
}

function refused(reason: ViolationReason, detail: string): Extract<Peer, { kind: 'refused' }> {
  return { kind: 'refused', reason, detail };
}
