import { createPublicKey, type KeyObject } from 'node:crypto';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type Certificate, certificateKey, parseCertificate } from '../../core/x509/certificate.ts';
import { verifyPath } from '../../core/x509/verify-path.ts';

export type IssuedChain = {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly roots: readonly Uint8Array[];
  readonly spiffeId: SpiffeId;
  readonly privateKey: KeyObject;
  /** Where only this root counts: at the join. */
  readonly pinnedRootSpkiSha256?: string;
};

/**
 * The leaf of a chain that was just issued to us, if it can serve: our key, our identity, and a path to a root for both sides of TLS.
 * A certificate that would fail at the first handshake is never put in place of one that works.
 * @throws control-plane-unverified
 */
export function acceptChain(now: Instant, issued: IssuedChain): Certificate {
  const [leaf, ...intermediates] = issued.chain.map((der) => parseCertificate(der));
  const anchors = issued.roots
    .map((der) => parseCertificate(der))
    .filter((root) => issued.pinnedRootSpkiSha256 === undefined || root.spkiSha256 === issued.pinnedRootSpkiSha256);
  if (leaf === undefined || anchors.length === 0) throw unusable('it has no leaf or no root that counts');
  if (!certificateKey(leaf).equals(createPublicKey(issued.privateKey))) throw unusable('it is for another key');
  const names = leaf.subjectAltNames.uri;
  if (names.length !== 1 || names[0] !== issued.spiffeId)
    throw unusable(`its names are ${JSON.stringify(names.slice(0, 3))}, expected ${issued.spiffeId}`);
  for (const usage of ['client', 'server'] as const) {
    const verdict = verifyPath({ leaf, intermediates, anchors, usage, now });
    if (verdict.kind === 'invalid') throw unusable(`${verdict.reason} as ${usage}, ${verdict.detail}`);
  }
  return leaf;
}

function unusable(what: string): Problem {
  return new Problem('control-plane-unverified', `Cannot use issued certificate: ${what}`);
}
