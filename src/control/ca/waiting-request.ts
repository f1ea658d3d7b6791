import { createHash } from 'node:crypto';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { readProvedRequest } from '../../core/cmp/prove-possession.ts';
import type { Approvals } from '../../core/issuance/profile-spec.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import { parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { type Role, roleCovers } from '../access/role.ts';
import type { Authorities } from './authorities.ts';
import type { IssuanceRequest } from './issuance-request.ts';
import { findProfile } from './prepare-certificate.ts';

/**
 * Who acts next: `waiting`, the approvers; `signing`, we; the others are ends. `ordered`: approved, and another CA is asked. `refused`: approved, but policy or
 * circumstances had changed.
 */
export type WaitingStatus = 'waiting' | 'signing' | 'issued' | 'ordered' | 'denied' | 'expired' | 'refused';

/** A person who approved; `role` null: their token was revoked since, so that it counts no more. */
export type Approver = { readonly name: string; readonly role: Role | null };

/** A request that is issued once enough persons approved of it. */
export type WaitingRequest = {
  readonly id: EntityId<'request'>;
  readonly environment: string;
  readonly region: string;
  readonly profile: ProfileName;
  readonly status: WaitingStatus;
  readonly content: WaitingContent;
  /** SHA-256 of the content, lower case hex: what is approved is this. */
  readonly digest: string;
  readonly asker: string;
  readonly tokenId: EntityId<'token'> | null;
  readonly requestedAt: Instant;
  readonly expiresAt: Instant;
  readonly signingAt: Instant | null;
  readonly settledAt: Instant | null;
  readonly certificate: { readonly issuerKeySha256: string; readonly serial: Uint8Array } | null;
  /** The order at another CA that came of it. */
  readonly orderId: EntityId<'order'> | null;
  readonly reason: string | null;
  readonly approvers: readonly Approver[];
};

/** What else of a request goes to another CA; `control/external` reads it. */
export type ExternalContent = {
  readonly authorityId: EntityId<'authority'>;
  readonly authority: string;
  readonly endpointId: EntityId<'endpoint'> | null;
  readonly renews: { readonly issuerId: EntityId<'authority'>; readonly serial: string } | null;
  readonly grantedMs: number | null;
};

/** What was asked for, as JSON; octets are hex. */
export type WaitingContent = Pick<
  IssuanceRequest,
  'door' | 'profile' | 'asker' | 'actor' | 'spiffeId' | 'names' | 'environment' | 'region'
> & {
  readonly csr: string;
  /** Of a request that is no PKCS#10. */
  readonly csrForm?: 'crmf';
  readonly lifetimeMs?: number;
  readonly predecessor?: { readonly issuerKeySha256: string; readonly serial: string };
  readonly note?: IssuanceRequest['note'];
  /** Of a request by a token of another issuer: SHA-256 of what that grant rested on. */
  readonly grantBasis?: string;
  readonly external?: ExternalContent;
};

/** All of a request that is to be kept; what is used up by it was used up when it was filed. */
export function contentOf(request: IssuanceRequest): WaitingContent {
  const { door, profile, asker, actor, csr, spiffeId, names, environment, region, lifetimeMs, predecessor, note } = request;
  return {
    door,
    profile,
    asker,
    actor,
    csr: hex(csr.der),
    ...(csr.form === undefined ? {} : { csrForm: csr.form }),
    spiffeId,
    names,
    environment,
    region,
    ...(lifetimeMs === undefined ? {} : { lifetimeMs }),
    ...(predecessor === undefined ? {} : { predecessor: { ...predecessor, serial: hex(predecessor.serial) } }),
    ...(note === undefined ? {} : { note }),
  };
}

/** The request as the one door takes it, with who approved. */
export function requestOf({ id, content }: WaitingRequest, approvals: number): IssuanceRequest {
  const { csr, csrForm, predecessor, note, grantBasis: _basis, external: _external, ...asked } = content;
  return {
    ...asked,
    csr: csrForm === 'crmf' ? readProvedRequest(octets(csr)) : parseCertificateRequest(octets(csr)),
    proxyId: null,
    ...(predecessor === undefined ? {} : { predecessor: { ...predecessor, serial: octets(predecessor.serial) } }),
    approvals,
    note: { ...note, requestId: id },
  };
}

export function digestOf(content: WaitingContent): string {
  return createHash('sha256').update(JSON.stringify(content)).digest('hex');
}

/** What the profile demands now; one that demands nothing any more still leaves the waiting request to a person. */
export function demandOf(
  authorities: Authorities,
  { environment, profile }: Pick<WaitingRequest, 'environment' | 'profile'>,
): Pick<Approvals, 'count' | 'role'> {
  const { count, role } = findProfile(authorities, environment, profile)?.approvals ?? { count: 1, role: 'operator' };
  return { count, role: role as Approvals['role'] };
}

/** Those whose yes counts now: their token stands, and its role covers what the profile demands now. */
export function standingApprovers({ approvers }: Pick<WaitingRequest, 'approvers'>, { role }: Pick<Approvals, 'role'>): readonly string[] {
  return approvers.flatMap((approver) => (approver.role !== null && roleCovers(approver.role, role) ? [approver.name] : []));
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function octets(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'));
}
