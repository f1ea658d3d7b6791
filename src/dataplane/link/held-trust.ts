import { BundleAuthority_Role, type RevokedSet, type TrustBundle } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { ControlPlaneTrust } from './judge-control-plane.ts';

/** Whom the link itself trusts: the roots of the join until there is a bundle, and the revoked certificates. */
export type HeldTrust = {
  controlPlaneTrust(): ControlPlaneTrust;
  /** DER. */
  roots(): readonly Uint8Array[];
  setBundle(bundle: TrustBundle): void;
  setRevoked(set: RevokedSet): void;
};

/** What was last accepted before this start; both may be null. @throws der-malformed */
export function openHeldTrust(identity: StoredIdentity, bundle: TrustBundle | null, set: RevokedSet | null): HeldTrust {
  let anchors = identity.roots.map((der) => parseCertificate(der));
  let intermediates: readonly Certificate[] = [];
  let revoked: ReadonlySet<string> = new Set();
  const held: HeldTrust = {
    controlPlaneTrust: () => ({
      kind: 'bundle',
      anchors,
      intermediates,
      controlPlane: identity.controlPlane,
      isRevoked: (issuerKeySha256, serialHex) => revoked.has(`${issuerKeySha256} ${serialHex}`),
    }),
    roots: () => anchors.map(({ der }) => der),
    setBundle({ authorities }) {
      const parsed = authorities.map(({ role, certificate }) => ({ role, certificate: parseCertificate(certificate) }));
      anchors = parsed.filter(({ role }) => role === BundleAuthority_Role.ROOT).map(({ certificate }) => certificate);
      intermediates = parsed.filter(({ role }) => role === BundleAuthority_Role.ISSUING).map(({ certificate }) => certificate);
    },
    setRevoked({ certificates }) {
      revoked = new Set(certificates.map(({ issuerKeySha256, serial }) => `${hex(issuerKeySha256)} ${hex(serial)}`));
    },
  };
  if (bundle !== null) held.setBundle(bundle);
  if (set !== null) held.setRevoked(set);
  return held;
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex');
}
