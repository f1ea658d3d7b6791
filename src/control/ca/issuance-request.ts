import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Asker } from '../../core/issuance/issuance-order.ts';
import type { Door, DrillFlaw, ProfileName } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { CertificateRequest } from '../../core/x509/certificate-request.ts';
import type { Name } from '../../core/x509/name.ts';
import type { Actor, AuditedUnit, JsonValue } from '../audit/entry.ts';
import type { CertificateKey, CertificateNames } from './certificate-store.ts';

/** What every door hands to `issueCertificate`. Who asks was authenticated by the door; whether it may have this is decided inside. */
export type IssuanceRequest = {
  readonly door: Door;
  readonly profile: ProfileName;
  /** What the asker may have is judged by this. */
  readonly asker: Asker;
  /** How the asker stands in the log. */
  readonly actor: Actor;
  /** Its proof of possession was checked when it was parsed. */
  readonly csr: CertificateRequest;
  readonly spiffeId: SpiffeId | null;
  readonly names: CertificateNames;
  /** The data plane that will hold it; its streams are known by it. Null: no data plane. */
  readonly proxyId: EntityId<'proxy'> | null;
  readonly environment: string;
  readonly region: string;
  /** The profile's usual life if absent. */
  readonly lifetimeMs?: number;
  /** The certificate that it renews: both commits check that it still stands. */
  readonly predecessor?: CertificateKey;
  /** What is wrong with a drill's credential on purpose. */
  readonly flaw?: DrillFlaw;
  /** That the certificate carries the identifier of its key. */
  readonly keyIdentifier?: true;
  /** Which authority signs; absent: the current one. */
  readonly issuerId?: EntityId<'authority'>;
  /** The name of an OCSP responder, which has no other. */
  readonly distinguishedName?: Name;
  /** What must be used up in the commit of the reservation, such as a join token. It throws to refuse. */
  readonly claim?: (unit: AuditedUnit) => Promise<unknown>;
  /** What becomes so when persons have to approve first: it runs in the commit that files the request. */
  readonly filed?: (unit: AuditedUnit, waiting: { readonly id: EntityId<'request'>; readonly expiresAt: Instant }) => Promise<unknown>;
  /** What becomes so with the certificate: it runs in the commit that records it, if it is given out. */
  readonly settle?: (unit: AuditedUnit, certificate: CertificateKey) => Promise<unknown>;
  /** Persons who approved of this very request; absent: none. */
  readonly approvals?: number;
  /** More that the entries of the log shall say. */
  readonly note?: { readonly [name: string]: JsonValue };
};

export type IssuedCertificate = CertificateKey & {
  readonly serialHex: string;
  readonly issuerId: EntityId<'authority'>;
  readonly spiffeId: SpiffeId | null;
  readonly proxyId: EntityId<'proxy'> | null;
  /** DER. */
  readonly der: Uint8Array;
  /** Leaf first, DER, without the root. */
  readonly chain: readonly Uint8Array[];
  readonly notBefore: Instant;
  readonly notAfter: Instant;
};
