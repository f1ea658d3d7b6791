import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { findLiveToken } from '../access/live-token.ts';
import type { Principal } from '../access/principal.ts';
import { roleCovers } from '../access/role.ts';
import { findAccessToken } from '../access/store.ts';
import type { Actor, AuditedUnit, JsonValue } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import type { Authorities } from './authorities.ts';
import { type FinishDeps, finishRequest } from './finish-request.ts';
import { demandOf, standingApprovers, type WaitingRequest } from './waiting-request.ts';
import { findWaiting, putApproval, settleWaiting } from './waiting-store.ts';

/** Who says yes or no, and to what. */
export type Judgement = { readonly id: string; readonly principal: Principal; readonly actor: Actor };

/**
 * One person's yes; with the last one that the profile wants, the certificate is issued, or another CA asked. Said twice it counts once.
 * @throws not-found; forbidden for whoever asked, or has not the role; state-conflict once it has ended
 */
export async function approveRequest(deps: FinishDeps, { id, principal, actor }: Judgement, now: Instant): Promise<WaitingRequest> {
  const { database, authorities } = deps;
  const request = await database.commit(async (unit) => {
    const held = await openRequest(unit, { id, authorities, principal }, now);
    if (await isAsker(unit, held, principal))
      throw new Problem('forbidden', 'Cannot approve request: who asked for it, expected another person');
    const demand = demandOf(authorities, held);
    const approver = personOf(principal.name);
    const standing = standingApprovers(held, demand);
    if (standing.includes(approver)) return held;
    await putApproval(unit.queries, { id, approver, tokenId: principal.tokenId }, now);
    const more = { approvals: standing.length + 1, needed: demand.count };
    record(unit, 'issuance-request.approved', { request: held, actor, more }, now);
    return held;
  });
  // Two who approve at the same moment do not see each other inside their commits: whoever comes out last sees both.
  const known = (await findWaiting(database.queries, id)) ?? request;
  const demand = demandOf(authorities, known);
  if (known.settledAt !== null || standingApprovers(known, demand).length < demand.count) return known;
  await finishRequest(deps, known, now);
  return (await findWaiting(database.queries, id)) ?? known;
}

/** One person's no ends it; who asked may say it too. @throws as `approveRequest` */
export async function denyRequest(
  { database, authorities }: Pick<FinishDeps, 'database' | 'authorities'>,
  { id, principal, actor, reason }: Judgement & { readonly reason: string },
  now: Instant,
): Promise<WaitingRequest> {
  return database.commit(async (unit) => {
    const held = await openRequest(unit, { id, authorities, principal }, now);
    const settled = await settleWaiting(unit.queries, { id, from: 'waiting' }, { status: 'denied', reason }, now);
    if (!settled) throw new Problem('state-conflict', 'Cannot deny request: it is being signed');
    record(unit, 'issuance-request.denied', { request: held, actor, more: { reason } }, now);
    return { ...held, status: 'denied', reason, settledAt: now };
  });
}

async function openRequest(
  unit: AuditedUnit,
  { id, authorities, principal }: { readonly id: string; readonly authorities: Authorities; readonly principal: Principal },
  now: Instant,
): Promise<WaitingRequest> {
  const held = await findWaiting(unit.queries, id);
  if (held === null) throw new Problem('not-found', 'Cannot judge request: there is none of this id');
  const { role } = demandOf(authorities, held);
  // A machine is nobody who could answer for it, whatever its role covers.
  if (principal.machine !== undefined || !roleCovers(principal.role, role))
    throw new Problem('forbidden', `Cannot judge request: the token's role is ${principal.role}, expected one that covers ${role}`);
  await demandToken(unit, principal, now);
  if (held.status !== 'waiting') throw new Problem('state-conflict', `Cannot judge request: it is ${held.status}, expected waiting`);
  if (held.expiresAt <= now) throw new Problem('state-conflict', 'Cannot judge request: it is expired, expected waiting');
  return held;
}

/** The token was good when the call came; what counts is that it is in the commit. */
async function demandToken({ queries }: AuditedUnit, { tokenId }: Principal, now: Instant): Promise<void> {
  if (tokenId === null || (await findLiveToken(queries, tokenId, now)) === null)
    throw new Problem('forbidden', 'Cannot judge request: the token has ended, expected a live one');
}

/** A device that asks by a grant asks for whoever made it: under the name of that person where profiles know it by that, and always by the token. */
async function isAsker({ queries }: AuditedUnit, request: WaitingRequest, { name, tokenId }: Principal): Promise<boolean> {
  const token = request.tokenId === null ? null : await findAccessToken(queries, request.tokenId);
  const askers = [request.asker, request.content.asker.name, token?.name].map((asker) => personOf(asker ?? request.asker));
  return askers.includes(personOf(name)) || (tokenId !== null && tokenId === request.tokenId);
}

/** A second token of the same name is the same person. */
export function personOf(name: string): string {
  return name.trim().toLowerCase();
}

function record(
  unit: AuditedUnit,
  type: `issuance-request.${string}`,
  {
    request,
    actor,
    more,
  }: { readonly request: WaitingRequest; readonly actor: Actor; readonly more: { readonly [name: string]: JsonValue } },
  now: Instant,
): void {
  const { id, environment, region, digest, profile } = request;
  recordEntry(unit, { type, at: now, environment, region, actor, data: { requestId: id, digest, profile, ...more } });
}
