import { createHash } from 'node:crypto';
import { BundleAuthority_Role, type TrustBundle } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { Problem } from '../../core/problems/problem.ts';

/** The authorities that a peer must chain to. Immutable; another set is another object with another digest. */
export type Trust = {
  readonly trustDomain: string;
  readonly anchors: readonly Certificate[];
  /** Issuing authorities that may stand between: a path may use them although the peer did not send them. */
  readonly intermediates: readonly Certificate[];
  /** Digest over the set, without regard to order. */
  readonly digest: string;
};

/** @throws der-malformed; input-invalid if there is no root */
export function parseTrust({ trustDomain, authorities }: TrustBundle): Trust {
  const parsed = authorities.map(({ role, certificate }) => ({ role, certificate: parseCertificate(certificate) }));
  const anchors = parsed.filter(({ role }) => role === BundleAuthority_Role.ROOT).map(({ certificate }) => certificate);
  const intermediates = parsed.filter(({ role }) => role === BundleAuthority_Role.ISSUING).map(({ certificate }) => certificate);
  return trustOf(trustDomain, anchors, intermediates);
}

/** @throws input-invalid if there is no anchor */
export function trustOf(trustDomain: string, anchors: readonly Certificate[], intermediates: readonly Certificate[]): Trust {
  if (anchors.length === 0)
    throw new Problem('input-invalid', `Cannot use trust bundle of ${JSON.stringify(trustDomain)}: no root, expected one`);
  const hashes = [...anchors, ...intermediates].map(({ der }) => createHash('sha256').update(der).digest('hex')).toSorted();
  const digest = createHash('sha256')
    .update([trustDomain, anchors.length, ...hashes].join(' '))
    .digest('hex');
  return { trustDomain, anchors, intermediates, digest };
}
