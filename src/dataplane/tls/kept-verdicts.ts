import { hash } from 'node:crypto';
import { type SpiffeId, trustDomainOf } from '../../core/identity/spiffe-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { verifySvid } from '../../core/spiffe/verify-svid.ts';
import type { Certificate } from '../../core/x509/certificate.ts';
import type { CertificateName, ProvedIdentity } from './peer.ts';
import { revocationKey } from './revoked-index.ts';
import { foreignAnchorKey, type Trust } from './trust.ts';

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

/** Judges a chain as it was presented: RFC 5280 path to the authorities of the trust domain that its one SPIFFE ID names (X509-SVID section 5). */
export function judgeChain(now: Instant, trust: Trust, usage: 'client' | 'server', chain: readonly Uint8Array[]): PathJudgement {
  const verdict = verifySvid(now, { own: trust, federated: trust.federated }, { chain, usage });
  if (verdict.kind === 'proved') return { kind: 'proved', identity: identityOf(trust, verdict.spiffeId, verdict.path) };
  const { reason, leaf, issuer } = verdict;
  return { kind: 'unproved', reason, certificate: leaf === null ? null : certificateName(leaf, issuer) };
}

/**
 * Of a session that began elsewhere under our ticket keys. That the peer has the key of this leaf was seen there, by a data plane of our
 * own identity; everything else is judged here.
 */
function judgeResumed(now: Instant, trust: Trust, { usage, leaf }: PresentedChain): PathJudgement {
  const judged = judgeChain(now, trust, usage, [leaf]);
  return judged.kind === 'unproved' && judged.reason === 'unknown-authority' ? { ...judged, reason: 'unverified-resumption' } : judged;
}

function identityOf({ home }: Trust, spiffeId: SpiffeId, path: readonly Certificate[]): ProvedIdentity {
  const belowAnchor = path.slice(0, -1);
  const trustDomain = trustDomainOf(spiffeId);
  return {
    spiffeId,
    certificate: certificateName(path[0]!, path[1] ?? null),
    revocationKeys: belowAnchor.map(({ serialHex }, index) => revocationKey(path[index + 1]!.spkiSha256, serialHex)),
    foreignAnchor: trustDomain === home ? null : foreignAnchorKey(trustDomain, path.at(-1)!),
    validUntil: Math.min(...path.map(({ notAfter }) => notAfter)),
    path: (path.length > 1 ? belowAnchor : path).map(({ der }) => der),
  };
}

function certificateName(leaf: Certificate, issuer: Certificate | null): CertificateName {
  return { issuerKeySha256: issuer === null ? new Uint8Array() : Buffer.from(issuer.spkiSha256, 'hex'), serial: leaf.serial };
}

/** Some 2 kB each. More peers than this at one port would need a gateway of several processes anyway. */
const MAXIMUM_KEPT = 10_000;
