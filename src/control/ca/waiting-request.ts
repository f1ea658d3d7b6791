import { createHash } from 'node:crypto';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Approvals } from '../../core/issuance/profile-spec.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import { parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import type { Authorities } from './authorities.ts';
import type { IssuanceRequest } from './issuance-request.ts';
import { findProfile } from './prepare-certificate.ts';

/** Who acts next: `waiting`, the approvers; `signing`, we; the others are ends. `refused`: approved, but policy or circumstances had changed. */
export type WaitingStatus = 'waiting' | 'signing' | 'issued' | 'denied' | 'expired' | 'refused';

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
  readonly reason: string | null;
  /** Names of those who approved. */
  readonly approvers: readonly string[];
};

/** What was asked for, as JSON; octets are hex. */
export type WaitingContent = Pick<
  IssuanceRequest,
  'door' | 'profile' | 'asker' | 'actor' | 'spiffeId' | 'names' | 'environment' | 'region'
> & {
  readonly csr: string;
  readonly lifetimeMs?: number;
  readonly predecessor?: { readonly issuerKeySha256: string; readonly serial: string };
  readonly note?: IssuanceRequest['note'];
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
export function requestOf({ id, content, approvers }: WaitingRequest): IssuanceRequest {
  const { csr, predecessor, note, ...asked } = content;
  return {
    ...asked,
    csr: parseCertificateRequest(octets(csr)),
    proxyId: null,
    ...(predecessor === undefined ? {} : { predecessor: { ...predecessor, serial: octets(predecessor.serial) } }),
    approvals: approvers.length,
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

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function octets(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'));
}
