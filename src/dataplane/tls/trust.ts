import { createHash } from 'node:crypto';
import { BundleAuthority_Role, type TrustBundle } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { SvidAuthorities } from '../../core/spiffe/verify-svid.ts';

/** The authorities of one trust domain that an identity of it must chain to. Immutable; another set is another object with another digest. */
export type Anchors = SvidAuthorities & {
  /** Digest over the set, without regard to order. */
  readonly digest: string;
};

/** Whom we trust: the authorities of our own domain, and of each other one apart (`federated`). */
export type Trust = Anchors & {
  /** Of all that is in it. */
  readonly digest: string;
  /** Without the other domains. */
  readonly ownDigest: string;
  readonly federated: ReadonlyMap<string, Anchors>;
  /** The trust domain that this data plane is of. */
  readonly home: string;
};

/** @throws der-malformed; input-invalid if there is no root */
export function parseTrust({ trustDomain, authorities }: TrustBundle): Trust {
  const { anchors, intermediates } = parseAuthorities(authorities);
  return trustOf(trustDomain, anchors, intermediates);
}

/** Of another trust domain. Without an authority nothing of it is trusted, which is no mistake. @throws der-malformed */
export function parseAnchors({ trustDomain, authorities }: TrustBundle): Anchors {
  const { anchors, intermediates } = parseAuthorities(authorities);
  return anchorsOf(trustDomain, anchors, intermediates);
}

/** @throws input-invalid if there is no anchor */
export function trustOf(trustDomain: string, anchors: readonly Certificate[], intermediates: readonly Certificate[]): Trust {
  if (anchors.length === 0)
    throw new Problem('input-invalid', `Cannot use trust bundle of ${JSON.stringify(trustDomain)}: no root, expected one`);
  const own = anchorsOf(trustDomain, anchors, intermediates);
  return { ...own, ownDigest: own.digest, federated: new Map(), home: trustDomain };
}

/** The same beside these other trust domains, and no more of those that were beside it before. */
export function besides(trust: Trust, others: readonly Anchors[]): Trust {
  const digests = others.map(({ digest }) => digest).toSorted();
  const digest = others.length === 0 ? trust.ownDigest : digestOf([trust.ownDigest, ...digests]);
  return { ...trust, digest, federated: new Map(others.map((other) => [other.trustDomain, other])) };
}

/** What verifies an identity that must be of this trust domain: its authorities, and none of another. */
export function trustIn({ home, federated, ...own }: Trust, trustDomain: string): Trust {
  const anchors = trustDomain === home ? { ...own, digest: own.ownDigest } : (federated.get(trustDomain) ?? anchorsOf(trustDomain, [], []));
  return { ...anchors, ownDigest: anchors.digest, federated: new Map(), home };
}

/** The authorities of other trust domains, by `foreignAnchorKey`. */
export function foreignAnchorsOf({ federated }: Trust): ReadonlySet<string> {
  return new Set(
    [...federated.values()].flatMap(({ trustDomain, anchors }) => anchors.map((anchor) => foreignAnchorKey(trustDomain, anchor))),
  );
}

export function foreignAnchorKey(trustDomain: string, { spkiSha256 }: Certificate): string {
  return `${trustDomain} ${spkiSha256}`;
}

function anchorsOf(trustDomain: string, anchors: readonly Certificate[], intermediates: readonly Certificate[]): Anchors {
  const hashes = [...anchors, ...intermediates].map(({ der }) => createHash('sha256').update(der).digest('hex')).toSorted();
  return { trustDomain, anchors, intermediates, digest: digestOf([trustDomain, anchors.length, ...hashes]) };
}

function parseAuthorities(authorities: TrustBundle['authorities']): Pick<Anchors, 'anchors' | 'intermediates'> {
  const parsed = authorities.map(({ role, certificate }) => ({ role, certificate: parseCertificate(certificate) }));
  const of = (wanted: BundleAuthority_Role): Certificate[] =>
    parsed.filter(({ role }) => role === wanted).map(({ certificate }) => certificate);
  return { anchors: of(BundleAuthority_Role.ROOT), intermediates: of(BundleAuthority_Role.ISSUING) };
}

function digestOf(parts: readonly (string | number)[]): string {
  return createHash('sha256').update(parts.join(' ')).digest('hex');
}
