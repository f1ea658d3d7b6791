import { BundleAuthority_Role, type RevokedSet, type TrustBundle } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { ControlPlaneTrust } from './judge-control-plane.ts';

/** Whom the link itself trusts: the roots of the join until there is a bundle, and the revoked certificates. */
export type HeldTrust = {
  controlPlaneTrust(): ControlPlaneTrust;
  /** The same under another bundle, which is not in force. */
  trustUnder(bundle: TrustBundle): ControlPlaneTrust;
  /** DER. */
  roots(): readonly Uint8Array[];
  setBundle(bundle: TrustBundle): void;
  setRevoked(set: RevokedSet): void;
};

/** What was last accepted before this start; both may be null. @throws der-malformed */
export function openHeldTrust(identity: StoredIdentity, bundle: TrustBundle | null, set: RevokedSet | null): HeldTrust {
  let authorities: Authorities = { anchors: identity.roots.map((der) => parseCertificate(der)), intermediates: [] };
  let revoked: ReadonlySet<string> = new Set();
  const { controlPlane } = identity;
  const isRevoked = (issuerKeySha256: string, serialHex: string): boolean => revoked.has(`${issuerKeySha256} ${serialHex}`);
  const held: HeldTrust = {
    controlPlaneTrust: () => ({ kind: 'bundle', ...authorities, controlPlane, isRevoked }),
    trustUnder: (bundle) => ({ kind: 'bundle', ...authoritiesOf(bundle), controlPlane, isRevoked }),
    roots: () => authorities.anchors.map(({ der }) => der),
    setBundle(bundle) {
      authorities = authoritiesOf(bundle);
    },
    setRevoked({ certificates }) {
      revoked = new Set(certificates.map(({ issuerKeySha256, serial }) => `${hex(issuerKeySha256)} ${hex(serial)}`));
    },
  };
  if (bundle !== null) held.setBundle(bundle);
  if (set !== null) held.setRevoked(set);
  return held;
}

type Authorities = { readonly anchors: readonly Certificate[]; readonly intermediates: readonly Certificate[] };

function authoritiesOf({ authorities }: TrustBundle): Authorities {
  const parsed = authorities.map(({ role, certificate }) => ({ role, certificate: parseCertificate(certificate) }));
  const of = (wanted: BundleAuthority_Role): Certificate[] =>
    parsed.filter(({ role }) => role === wanted).map(({ certificate }) => certificate);
  return { anchors: of(BundleAuthority_Role.ROOT), intermediates: of(BundleAuthority_Role.ISSUING) };
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex');
}
