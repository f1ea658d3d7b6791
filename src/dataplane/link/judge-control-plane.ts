import { createHash } from 'node:crypto';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { verifyPath } from '../../core/x509/verify-path.ts';

/** What a data plane holds against the server that says it is the control plane. */
export type ControlPlaneTrust =
  /** Before the join: only the root's key is known, by its digest; the server itself sends the root. */
  | { readonly kind: 'pin'; readonly rootSpkiSha256: string; readonly controlPlane: SpiffeId }
  | {
      readonly kind: 'bundle';
      readonly anchors: readonly Certificate[];
      readonly intermediates: readonly Certificate[];
      readonly controlPlane: SpiffeId;
      /** True if the certificate, by issuer key digest and serial (both lower case hex), was revoked. */
      readonly isRevoked: (issuerKeySha256: string, serialHex: string) => boolean;
    };

/**
 * Returns if the chain proves the control plane: RFC 5280 path to an anchor, for server use, and exactly its SPIFFE ID.
 * Another certificate of our own CA is not enough.
 * @throws control-plane-unverified
 */
export function judgeControlPlane(now: Instant, trust: ControlPlaneTrust, chain: readonly Uint8Array[]): void {
  const [leaf, ...presented] = parseChain(chain);
  if (leaf === undefined) throw unverified('it presented no certificate');
  const names = leaf.subjectAltNames.uri;
  if (names.length !== 1 || names[0] !== trust.controlPlane) {
    throw unverified(`its names are ${JSON.stringify(names.slice(0, 3))}, expected exactly ${trust.controlPlane}`);
  }
  const anchors = trust.kind === 'pin' ? presented.filter((certificate) => isPinned(certificate, trust.rootSpkiSha256)) : trust.anchors;
  if (anchors.length === 0) throw unverified('no certificate of its chain has the pinned key, expected the root that the token names');
  const intermediates = trust.kind === 'pin' ? presented : [...presented, ...trust.intermediates];
  const verdict = verifyPath({ leaf, intermediates, anchors, usage: 'server', now });
  if (verdict.kind === 'invalid') throw unverified(`${verdict.reason}, ${verdict.detail}`);
  const issuer = verdict.path[1];
  if (trust.kind === 'bundle' && issuer !== undefined && trust.isRevoked(issuer.spkiSha256, leaf.serialHex))
    throw unverified('its certificate is revoked');
}

function isPinned(certificate: Certificate, rootSpkiSha256: string): boolean {
  return createHash('sha256').update(certificate.spki).digest('hex') === rootSpkiSha256;
}

function parseChain(chain: readonly Uint8Array[]): Certificate[] {
  try {
    return chain.map((der) => parseCertificate(der));
  } catch (error) {
    throw unverified('its certificate cannot be parsed', error);
  }
}

function unverified(what: string, cause?: unknown): Problem {
  return new Problem('control-plane-unverified', `Cannot trust server as control plane: ${what}`, { cause });
}
