import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import { DAY_MS, type Instant, MINUTE_MS } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { findLiveToken } from '../access/live-token.ts';
import type { Role } from '../access/role.ts';
import type { AuditedDatabase, AuditedUnit } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import type { Authorities } from './authorities.ts';
import { MAXIMUM_OPEN } from './file-request.ts';
import { isBasisInForce } from './grant-basis.ts';
import { IssuanceRefused } from './issuance-refused.ts';
import { issueCertificate } from './issue-certificate.ts';
import { findProfile } from './prepare-certificate.ts';
import { demandProfileInForce } from './profile-in-force.ts';
import { demandOf, requestOf, standingApprovers, type WaitingRequest } from './waiting-request.ts';
import { beginSigning, deleteSettled, findWaiting, listOpen, settleWaiting } from './waiting-store.ts';

/** Starts the order at another CA that was approved: `claim` is asked, and `settle` ends the request, in the one commit that records it. @throws issuance-refused, what `claim` throws */
export type StartOrder = (
  request: WaitingRequest,
  hooks: {
    readonly approvals: { readonly count: number; readonly role: Role };
    readonly claim: (unit: AuditedUnit) => Promise<void>;
    readonly settle: (unit: AuditedUnit, order: EntityId<'order'>) => Promise<void>;
  },
  now: Instant,
) => Promise<unknown>;

export type FinishDeps = { readonly database: AuditedDatabase; readonly authorities: Authorities; readonly startOrder: StartOrder };

/**
 * Issues what was approved, by the same door and under the policy of now: it becomes `signing` in the commit that reserves the serial and `issued` in the one
 * that records the certificate; what goes to another CA becomes `ordered` in the commit of the order. Whoever asked must still have what they asked by, and
 * as many as are needed still approve, in that commit.
 */
export async function finishRequest(deps: FinishDeps, request: WaitingRequest, now: Instant): Promise<void> {
  try {
    await (request.content.external === undefined ? issue(deps, request, now) : order(deps, request, now));
  } catch (error) {
    if (error instanceof IssuanceRefused) return settle(deps, request, { status: 'refused', reason: error.reasons.join('; ') }, now);
    // Another has it in hand, or an approval fell; anything else is tried again by `reconcileRequests`.
    if (!(error instanceof Problem && error.code === 'state-conflict')) throw error;
  }
}

async function issue(deps: FinishDeps, request: WaitingRequest, now: Instant): Promise<void> {
  const approvals = standingApprovers(request, demandOf(deps.authorities, request)).length;
  await issueCertificate(
    deps,
    {
      ...requestOf(request, approvals),
      claim: async (unit) => {
        await demandFooting(unit, deps, request, now);
        const begun = await beginSigning(unit.queries, request.id, { now, abandoned: now - ABANDONED_AFTER_MS });
        if (!begun) throw new Problem('state-conflict', 'Cannot issue for request: it has ended, or is being signed');
      },
      settle: ({ queries }, certificate) => end(queries, request, { status: 'issued', certificate }, now),
    },
    now,
  );
}

async function order(deps: FinishDeps, request: WaitingRequest, now: Instant): Promise<void> {
  const demand = demandOf(deps.authorities, request);
  const approvals = { count: standingApprovers(request, demand).length, role: demand.role };
  const claim = (unit: AuditedUnit): Promise<void> => demandFooting(unit, deps, request, now);
  const settleOrdered = ({ queries }: AuditedUnit, orderId: EntityId<'order'>): Promise<void> =>
    end(queries, request, { status: 'ordered', orderId }, now);
  await deps.startOrder(request, { approvals, claim, settle: settleOrdered }, now);
}

async function end(queries: Queries, { id }: WaitingRequest, outcome: Parameters<typeof settleWaiting>[2], now: Instant): Promise<void> {
  if (!(await settleWaiting(queries, { id }, outcome, now)))
    throw new Problem('state-conflict', 'Cannot issue for request: it has ended meanwhile');
}

/** What an approved request rests on besides policy, as it is in this commit. @throws issuance-refused, state-conflict */
async function demandFooting(unit: AuditedUnit, { authorities }: FinishDeps, request: WaitingRequest, now: Instant): Promise<void> {
  const { queries } = unit;
  const { id, environment, profile: name, content } = request;
  const fault = await findAskerFault(queries, request, now);
  if (fault !== null) throw new IssuanceRefused([fault]);
  await demandProfileInForce(queries, environment, {
    name,
    digest: findProfile(authorities, environment, content.profile)?.digest ?? null,
  });
  const demand = demandOf(authorities, request);
  const known = await findWaiting(queries, id);
  if (known === null || standingApprovers(known, demand).length < demand.count)
    throw new Problem('state-conflict', 'Cannot issue for request: an approval counts no more');
}

async function findAskerFault(queries: Queries, { tokenId, content }: WaitingRequest, now: Instant): Promise<string | null> {
  if (!(await isBasisInForce(queries, content))) return 'the rule by which who asked was trusted was changed or withdrawn';
  if (tokenId === null) return null;
  return (await findLiveToken(queries, tokenId, now)) === null ? 'the token of who asked has ended' : null;
}

/**
 * Issues what was approved and left by a process that ended, ends what nobody approved in time, and forgets what ended long ago. One request that fails
 * keeps no other waiting. @throws AggregateError of what failed
 */
export async function reconcileRequests(deps: FinishDeps, now: Instant): Promise<void> {
  const faults: unknown[] = [];
  for (const request of await listOpen(deps.database.queries, MAXIMUM_OPEN)) {
    await reconcileRequest(deps, request, now).catch((fault: unknown) => void faults.push(fault));
  }
  await deps.database.commit((unit) => deleteSettled(unit.queries, now - KEPT_FOR_MS, MAXIMUM_OPEN));
  if (faults.length > 0) throw new AggregateError(faults, `${faults.length} requests could not be issued or ended`);
}

async function reconcileRequest(deps: FinishDeps, request: WaitingRequest, now: Instant): Promise<void> {
  const isLeft = request.status === 'waiting' || (request.signingAt ?? 0) < now - ABANDONED_AFTER_MS;
  const demand = demandOf(deps.authorities, request);
  if (standingApprovers(request, demand).length >= demand.count) {
    if (isLeft) await finishRequest(deps, request, now);
  } else if (request.expiresAt <= now) {
    await settle(deps, request, { status: 'expired', reason: 'nobody approved in time' }, now);
  }
}

async function settle(
  { database }: Pick<FinishDeps, 'database'>,
  request: WaitingRequest,
  end: { readonly status: 'refused' | 'expired'; readonly reason: string },
  now: Instant,
): Promise<void> {
  const { id, environment, region, digest, profile } = request;
  await database.commit(async (unit) => {
    const reason = end.reason.slice(0, MAXIMUM_REASON);
    if (!(await settleWaiting(unit.queries, { id }, { status: end.status, reason }, now))) return;
    const actor = { kind: 'system', name: 'control-plane' } as const;
    const data = { requestId: id, digest, profile, reason };
    recordEntry(unit, { type: `issuance-request.${end.status}`, at: now, environment, region, actor, data });
  });
}

/** As long as a reservation may take before it is settled as abandoned. */
const ABANDONED_AFTER_MS = 2 * MINUTE_MS;
const KEPT_FOR_MS = 90 * DAY_MS;
const MAXIMUM_REASON = 2_000;
