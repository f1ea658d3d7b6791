import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Certificate } from '../../core/x509/certificate.ts';
import type { ForeignKey } from './external-order.ts';

/**
 * What the watch last found of a certificate of another CA, the gravest first. `superseded`: another has taken its place, and nobody looks any more.
 * `status-unknown`: no list and no responder could be asked. `unreachable`: the endpoint could not be.
 */
export const findings = ['superseded', 'revoked', 'expired', 'not-served', 'expiring', 'unreachable', 'status-unknown', 'none'] as const;
export type Finding = (typeof findings)[number];

/** A certificate of another CA that is watched, beside its row in the one inventory. */
export type ForeignCertificate = ForeignKey & {
  readonly environment: string;
  readonly region: string;
  /** The authority that was asked for it; null: it was imported. */
  readonly authorityId: EntityId<'authority'> | null;
  /** PEM, leaf first. */
  readonly chain: string;
  readonly notAfter: Instant;
  /** When the engine asks for another. */
  readonly renewAt: Instant;
  /** When its end, its status and its endpoint are looked at next. */
  readonly checkAt: Instant;
  /** Until when its CA wants not to be asked again when it should be renewed. */
  readonly renewalInfoAt: Instant;
  readonly endpointId: EntityId<'endpoint'> | null;
  /** The order that renews it, while it is under way and once it has. */
  readonly renewal: EntityId<'order'> | null;
  readonly finding: Finding;
  readonly findingDetail: string | null;
  readonly findingAt: Instant;
};

/** Two thirds into its life. */
export function usualRenewal({ notBefore, notAfter }: Pick<Certificate, 'notBefore' | 'notAfter'>): Instant {
  return notBefore + Math.floor(((notAfter - notBefore) * 2) / 3);
}

/** The certificate's id in questions of renewal information (RFC 9773 section 4.1); null if it names no key of its authority. */
export function renewalIdOf({ authorityKeyId, serial }: Pick<Certificate, 'authorityKeyId' | 'serial'>): string | null {
  if (authorityKeyId === null) return null;
  return `${Buffer.from(authorityKeyId, 'hex').toString('base64url')}.${Buffer.from(serial).toString('base64url')}`;
}
