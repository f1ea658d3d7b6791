import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Profile } from '../../core/issuance/profile.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { AuditedDatabase, AuditedUnit } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { type Authorities, currentIssuer } from './authorities.ts';
import type { IssuanceRequest, IssuedCertificate } from './issuance-request.ts';
import { issueCertificate } from './issue-certificate.ts';
import { findProfile, prepareCertificate } from './prepare-certificate.ts';
import { findFallen } from './standing.ts';
import { contentOf, digestOf, type WaitingRequest } from './waiting-request.ts';
import { insertWaiting, listOpen } from './waiting-store.ts';

export type Requested =
  | { readonly kind: 'issued'; readonly certificate: IssuedCertificate }
  | { readonly kind: 'waiting'; readonly request: WaitingRequest };

/**
 * Issues, or files the request where its profile wants persons to approve first and nothing else stands against it. Asked for the same again, the same
 * request waits on. @throws what `issueCertificate` throws; rate-limited if too many wait
 */
export async function requestCertificate(
  deps: { readonly database: AuditedDatabase; readonly authorities: Authorities },
  request: IssuanceRequest,
  tokenId: EntityId<'token'> | null,
  now: Instant,
): Promise<Requested> {
  const { database, authorities } = deps;
  const profile = findProfile(authorities, request.environment, request.profile);
  if (profile?.approvals !== undefined) {
    const approved = { ...request, approvals: profile.approvals.count };
    const prepared = prepareCertificate(authorities, currentIssuer(authorities, now, request.issuerId), approved, now);
    const footing = { ...request, graceMs: profile.renewalGraceMs ?? 0 };
    if (prepared.kind === 'sign' && (await findFallen(database.queries, footing, now)).length === 0) {
      return { kind: 'waiting', request: await database.commit((unit) => file(unit, { request, profile, tokenId }, now)) };
    }
  }
  return { kind: 'issued', certificate: await issueCertificate(deps, request, now) };
}

async function file(
  unit: AuditedUnit,
  {
    request,
    profile,
    tokenId,
  }: { readonly request: IssuanceRequest; readonly profile: Profile; readonly tokenId: EntityId<'token'> | null },
  now: Instant,
): Promise<WaitingRequest> {
  const content = contentOf(request);
  const digest = digestOf(content);
  const open = await listOpen(unit.queries, MAXIMUM_OPEN + 1);
  const same = open.find((one) => one.digest === digest && one.asker === request.actor.name && now < one.expiresAt);
  if (same !== undefined) return same;
  if (open.length >= MAXIMUM_OPEN)
    throw new Problem('rate-limited', `Cannot file request: ${open.length} wait for approval, expected fewer than ${MAXIMUM_OPEN}`);
  const own = open.filter(({ asker }) => asker === request.actor.name).length;
  if (own >= MAXIMUM_OPEN_EACH)
    throw new Problem('rate-limited', `Cannot file request: ${own} of yours wait for approval, expected fewer than ${MAXIMUM_OPEN_EACH}`);
  await request.claim?.(unit);
  const { environment, region, actor } = request;
  const filed: WaitingRequest = {
    id: newEntityId('request', now),
    environment,
    region,
    profile: request.profile,
    status: 'waiting',
    content,
    digest,
    asker: actor.name,
    tokenId,
    requestedAt: now,
    expiresAt: now + profile.approvals!.withinMs,
    signingAt: null,
    settledAt: null,
    certificate: null,
    reason: null,
    approvers: [],
  };
  await insertWaiting(unit.queries, filed);
  const { id, expiresAt } = filed;
  const { spiffeId, names } = request;
  const facts = { requestId: id, digest, profile: request.profile, spiffeId, names, spkiSha256: request.csr.spkiSha256, expiresAt };
  recordEntry(unit, { type: 'issuance-request.filed', at: now, environment, region, actor, data: facts });
  return filed;
}

/** More than persons can look at; each is some KiB. */
export const MAXIMUM_OPEN = 1_000;
/** One pipeline that runs wild must not keep all others from asking. */
const MAXIMUM_OPEN_EACH = 100;
