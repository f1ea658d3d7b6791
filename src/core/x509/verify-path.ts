import type { Instant } from '../time/instant.ts';
import type { RefusalReason } from '../tls/refusal-reason.ts';
import { defaultPathLimits, type PathLimits } from './build-paths.ts';
import type { Certificate } from './certificate.ts';
import type { PathDemands } from './judge-path.ts';
import { noPolicyDemands } from './judge-policies.ts';
import { oids } from './oid.ts';
import { validatePath } from './validate-path.ts';

/** Which side of TLS the leaf's holder is; `signer`: none, it signs messages of a protocol that knows no purpose for that. */
export type PathUsage = 'client' | 'server' | 'signer';

/** What is to be verified: intermediates in any order, useless ones among them; anchors as self-signed or any other CA certificates. */
export type PathRequest = {
  readonly leaf: Certificate;
  readonly intermediates: readonly Certificate[];
  readonly anchors: readonly Certificate[];
  readonly usage: PathUsage;
  readonly now: Instant;
  readonly limits?: PathLimits;
};

/** `path` is leaf first, anchor last; a leaf that is itself an anchor is a path of one. */
export type PathVerdict =
  | { readonly kind: 'valid'; readonly path: readonly Certificate[] }
  | { readonly kind: 'invalid'; readonly reason: RefusalReason; readonly detail: string };

/** Validates the chain that a TLS peer presented (RFC 5280 section 6); no name and no certificate list is looked at. */
export function verifyPath({ usage, limits, ...request }: PathRequest): PathVerdict {
  const verdict = validatePath({ ...request, lists: null, demands: demandsOf[usage], limits: limits ?? defaultPathLimits });
  if (verdict.kind === 'valid') return verdict;
  // Without certificate lists nothing asks for a status.
  const reason = verdict.reason === 'revocation-unknown' ? 'revoked' : verdict.reason;
  return { ...verdict, reason };
}

/** TLS 1.3, and TLS 1.2 with forward secrecy, sign with the leaf's key (RFC 8446 section 4.4.2.2). */
const signerDemands = (purposes: readonly string[]): PathDemands => ({
  purposes,
  keyUsage: ['digitalSignature'],
  endEntity: true,
  policies: noPolicyDemands,
  revocation: false,
  maxDepth: null,
  conformance: 'validation',
});

const demandsOf: { readonly [U in PathUsage]: PathDemands } = {
  client: signerDemands([oids.clientAuth]),
  server: signerDemands([oids.serverAuth]),
  signer: signerDemands([]),
};
