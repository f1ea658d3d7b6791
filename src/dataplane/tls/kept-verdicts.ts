import { hash } from 'node:crypto';
import { parseSpiffeId, type SpiffeId, trustDomainOf } from '../../core/identity/spiffe-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { verifyPath } from '../../core/x509/verify-path.ts';
import type { CertificateName, ProvedIdentity } from './peer.ts';
import { revocationKey } from './revoked-index.ts';
import type { Trust } from './trust.ts';

/** What a certificate proves under one trust bundle, revocation apart. */
export type PathJudgement =
  | { readonly kind: 'proved'; readonly identity: ProvedIdentity }
  | { readonly kind: 'unproved'; readonly reason: RefusalReason; readonly certificate: CertificateName | null };

export type PresentedChain = {
  /** DER of the leaf of this session. */
  readonly leaf: Uint8Array;
  /** All that the peer sent, DER, leaf first; called at a full handshake only. */
  readonly readChain: () => readonly Uint8Array[];
  readonly resumed: boolean;
  readonly usage: 'client' | 'server';
};

/**
 * The verdicts on certificates, kept by (leaf SHA-256, usage, trust digest). A resumed session carries the leaf but not its chain. Where
 * the full handshake was with another process that shares our ticket keys, the leaf is judged anew with the issuing authorities of the
 * bundle; if they do not lead to an anchor nothing is proved. Revocation is looked up apart from this, each time.
 */
export class KeptVerdicts {
  readonly #proved = new Map<string, PathJudgement>();
  /** Apart, so that a flood of worthless certificates pushes out no good one. */
  readonly #unproved = new Map<string, PathJudgement>();

  judge(now: Instant, trust: Trust, presented: PresentedChain): PathJudgement {
    const key = `${hash('sha256', presented.leaf, 'base64')} ${presented.usage} ${trust.digest}`;
    const kept = this.#proved.get(key);
    if (kept !== undefined) {
      this.#keep(key, kept);
      return kept;
    }
    const judged = presented.resumed
      ? (this.#unproved.get(key) ?? judgeResumed(now, trust, presented))
      : judgeChain(now, trust, presented.usage, presented.readChain());
    // What failed for want of the chain says nothing about the certificate.
    if (judged.kind === 'proved' || !presented.resumed) this.#keep(key, judged);
    return judged;
  }

  #keep(key: string, judged: PathJudgement): void {
    const map = judged.kind === 'proved' ? this.#proved : this.#unproved;
    map.delete(key);
    map.set(key, judged);
    if (map.size > MAXIMUM_KEPT) map.delete(map.keys().next().value!);
  }
}

/** Judges a chain as it was presented: RFC 5280 path, and exactly one SPIFFE ID, which is of the trust domain (X509-SVID section 2). */
export function judgeChain(now: Instant, trust: Trust, usage: 'client' | 'server', chain: readonly Uint8Array[]): PathJudgement {
  let certificates: Certificate[];
  try {
    certificates = chain.map((der) => parseCertificate(der));
  } catch {
    return { kind: 'unproved', reason: 'chain-invalid', certificate: null };
  }
  const [leaf, ...sent] = certificates;
  if (leaf === undefined) return { kind: 'unproved', reason: 'no-certificate', certificate: null };
  const verdict = verifyPath({ leaf, intermediates: [...sent, ...trust.intermediates], anchors: trust.anchors, usage, now });
  if (verdict.kind === 'invalid') {
    return { kind: 'unproved', reason: verdict.reason, certificate: certificateName(leaf, sent[0]) };
  }
  const spiffeId = spiffeIdOf(leaf, trust.trustDomain);
  const certificate = certificateName(leaf, verdict.path[1]);
  return spiffeId === null
    ? { kind: 'unproved', reason: 'wrong-identity', certificate }
    : { kind: 'proved', identity: identityOf(spiffeId, verdict.path, certificate) };
}

/**
 * Of a session that began elsewhere under our ticket keys. That the peer has the key of this leaf was seen there, by a data plane of our
 * own identity; everything else is judged here.
 */
function judgeResumed(now: Instant, trust: Trust, { usage, leaf }: PresentedChain): PathJudgement {
  const judged = judgeChain(now, trust, usage, [leaf]);
  return judged.kind === 'unproved' && judged.reason === 'unknown-authority' ? { ...judged, reason: 'unverified-resumption' } : judged;
}

function identityOf(spiffeId: SpiffeId, path: readonly Certificate[], certificate: CertificateName): ProvedIdentity {
  const belowAnchor = path.slice(0, -1);
  return {
    spiffeId,
    certificate,
    revocationKeys: belowAnchor.map(({ serialHex }, index) => revocationKey(path[index + 1]!.spkiSha256, serialHex)),
    validUntil: Math.min(...path.map(({ notAfter }) => notAfter)),
    path: (path.length > 1 ? belowAnchor : path).map(({ der }) => der),
  };
}

/** SPIFFE X509-SVID sections 2 and 4.3: exactly one URI, and a key that signs no lists; that it signs no certificates, the path has shown. */
function spiffeIdOf({ subjectAltNames, keyUsage }: Certificate, trustDomain: string): SpiffeId | null {
  const [uri] = subjectAltNames.uri;
  if (subjectAltNames.uri.length !== 1 || uri === undefined || keyUsage?.has('cRLSign') === true) return null;
  try {
    const id = parseSpiffeId(uri);
    return trustDomainOf(id) === trustDomain ? id : null;
  } catch {
    return null;
  }
}

function certificateName(leaf: Certificate, issuer: Certificate | undefined): CertificateName {
  return { issuerKeySha256: issuer === undefined ? new Uint8Array() : Buffer.from(issuer.spkiSha256, 'hex'), serial: leaf.serial };
}

/** Some 2 kB each. More peers than this at one port would need a gateway of several processes anyway. */
const MAXIMUM_KEPT = 10_000;
