import { Problem } from '../../core/problems/problem.ts';
import { DAY_MS, type Instant, MINUTE_MS } from '../../core/time/instant.ts';
import { findAccessToken } from '../access/store.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import type { Authorities } from './authorities.ts';
import { IssuanceRefused } from './issuance-refused.ts';
import { issueCertificate } from './issue-certificate.ts';
import { MAXIMUM_OPEN } from './request-certificate.ts';
import { demandOf, requestOf, type WaitingRequest } from './waiting-request.ts';
import { beginSigning, deleteSettled, listOpen, settleWaiting } from './waiting-store.ts';

type Deps = { readonly database: AuditedDatabase; readonly authorities: Authorities };

/**
 * Issues what was approved, by the same door and under the policy of now: it becomes `signing` in the commit that reserves the serial and `issued` in the one
 * that records the certificate. Whoever asked must still have the token that they asked with.
 */
export async function finishRequest(deps: Deps, request: WaitingRequest, now: Instant): Promise<void> {
  if (!(await isAskerAlive(deps, request, now)))
    return settle(deps, request, { status: 'refused', reason: 'the token of who asked has ended' }, now);
  try {
    await issueCertificate(
      deps,
      {
        ...requestOf(request),
        claim: async ({ queries }) => {
          const begun = await beginSigning(queries, request.id, { now, abandoned: now - ABANDONED_AFTER_MS });
          if (!begun) throw new Problem('state-conflict', 'Cannot issue for request: it has ended, or is being signed');
        },
        settle: async ({ queries }, certificate) => {
          const settled = await settleWaiting(queries, { id: request.id }, { status: 'issued', certificate }, now);
          if (!settled) throw new Problem('state-conflict', 'Cannot issue for request: it has ended meanwhile');
        },
      },
      now,
    );
  } catch (error) {
    if (error instanceof IssuanceRefused) return settle(deps, request, { status: 'refused', reason: error.reasons.join('; ') }, now);
    // Another has it in hand; anything else is tried again by `reconcileRequests`.
    if (!(error instanceof Problem && error.code === 'state-conflict')) throw error;
  }
}

/**
 * Issues what was approved and left by a process that ended, ends what nobody approved in time, and forgets what ended long ago. One request that fails
 * keeps no other waiting. @throws AggregateError of what failed
 */
export async function reconcileRequests(deps: Deps, now: Instant): Promise<void> {
  const faults: unknown[] = [];
  for (const request of await listOpen(deps.database.queries, MAXIMUM_OPEN)) {
    await reconcileRequest(deps, request, now).catch((fault: unknown) => void faults.push(fault));
  }
  await deps.database.commit((unit) => deleteSettled(unit.queries, now - KEPT_FOR_MS, MAXIMUM_OPEN));
  if (faults.length > 0) throw new AggregateError(faults, `${faults.length} requests could not be issued or ended`);
}

async function reconcileRequest(deps: Deps, request: WaitingRequest, now: Instant): Promise<void> {
  const isLeft = request.status === 'waiting' || (request.signingAt ?? 0) < now - ABANDONED_AFTER_MS;
  if (request.approvers.length >= demandOf(deps.authorities, request).count) {
    if (isLeft) await finishRequest(deps, request, now);
  } else if (request.expiresAt <= now) {
    await settle(deps, request, { status: 'expired', reason: 'nobody approved in time' }, now);
  }
}

async function isAskerAlive({ database }: Deps, { tokenId }: WaitingRequest, now: Instant): Promise<boolean> {
  if (tokenId === null) return true;
  const token = await findAccessToken(database.queries, tokenId);
  return token !== null && token.endedAt === null && (token.expiresAt === null || token.expiresAt > now);
}

async function settle(
  { database }: Deps,
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
