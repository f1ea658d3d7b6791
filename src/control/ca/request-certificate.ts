import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { type Authorities, currentIssuer } from './authorities.ts';
import { fileRequest } from './file-request.ts';
import { withBasis } from './grant-basis.ts';
import type { IssuanceRequest, IssuedCertificate } from './issuance-request.ts';
import { issueCertificate } from './issue-certificate.ts';
import { findProfile, prepareCertificate } from './prepare-certificate.ts';
import { findFallen } from './standing.ts';
import { contentOf, type WaitingRequest } from './waiting-request.ts';

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
      return { kind: 'waiting', request: await file(database, { request, tokenId, withinMs: profile.approvals.withinMs }, now) };
    }
  }
  return { kind: 'issued', certificate: await issueCertificate(deps, request, now) };
}

function file(
  database: AuditedDatabase,
  {
    request,
    tokenId,
    withinMs,
  }: { readonly request: IssuanceRequest; readonly tokenId: EntityId<'token'> | null; readonly withinMs: number },
  now: Instant,
): Promise<WaitingRequest> {
  const { actor, csr, claim, filed } = request;
  return database.commit(async (unit) => {
    const content = await withBasis(unit.queries, contentOf(request));
    const filing = { content, asker: actor.name, actor, tokenId, spkiSha256: csr.spkiSha256, withinMs };
    const waiting = await fileRequest(unit, { ...filing, ...(claim === undefined ? {} : { claim }) }, now);
    await filed?.(unit, waiting);
    return waiting;
  });
}
