import { controlPlaneSpiffeId, environmentOf, type SpiffeId, trustDomainOf } from '../../core/identity/spiffe-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Actor, AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { advanceSequence } from './authority-store.ts';
import { deleteSuspension, insertSuspension } from './revocation-store.ts';

type Change = {
  readonly spiffeId: SpiffeId;
  /** In which an identity of another trust domain is declared; absent: the one that ours name. */
  readonly environment?: string;
  readonly region: string;
  readonly reason: string;
};

/**
 * Shuts an identity out, whatever certificates it holds: no issuance, no renewal and no stream from when this resolves, and no call once the set has
 * reached the proxies. @throws state-conflict if it is suspended already; input-invalid for the control plane's own identity or a reason too long
 */
export async function suspendIdentity(
  deps: { readonly database: AuditedDatabase; readonly changed: Signal },
  change: Change,
  actor: Actor,
  now: Instant,
): Promise<{ readonly revokedSequence: number }> {
  const { spiffeId, region, reason } = change;
  const environment = checkChange(change);
  const revokedSequence = await deps.database.commitFenced(async (unit) => {
    if (!(await insertSuspension(unit, { spiffeId, environment, region, reason, suspendedAt: now }))) {
      throw new Problem('state-conflict', `Cannot suspend identity: ${spiffeId} is suspended already`);
    }
    recordEntry(unit, { type: 'identity.suspended', at: now, environment, region, actor, data: { spiffeId, reason } });
    return advanceSequence(unit.queries, 'revoked-set');
  });
  deps.changed.notify();
  return { revokedSequence };
}

/** Lets the identity in again; its certificates that are not revoked are good at once. @throws state-conflict if it is not suspended */
export async function resumeIdentity(
  deps: { readonly database: AuditedDatabase; readonly changed: Signal },
  change: Change,
  actor: Actor,
  now: Instant,
): Promise<{ readonly revokedSequence: number }> {
  const { spiffeId, region, reason } = change;
  const environment = checkChange(change);
  const revokedSequence = await deps.database.commit(async (unit) => {
    if (!(await deleteSuspension(unit.queries, spiffeId))) {
      throw new Problem('state-conflict', `Cannot resume identity: ${spiffeId} is not suspended`);
    }
    recordEntry(unit, { type: 'identity.resumed', at: now, environment, region, actor, data: { spiffeId, reason } });
    return advanceSequence(unit.queries, 'revoked-set');
  });
  deps.changed.notify();
  return { revokedSequence };
}

/** The environment of the identity. */
function checkChange({ spiffeId, reason, environment = environmentOf(spiffeId) }: Change): string {
  if (spiffeId === controlPlaneSpiffeId(trustDomainOf(spiffeId), environment)) {
    throw new Problem('input-invalid', 'Cannot suspend identity: it is the control plane itself, which nobody could then hear');
  }
  if (reason.length > MAXIMUM_REASON) {
    throw new Problem(
      'input-invalid',
      `Cannot suspend identity: a reason of ${reason.length} characters, expected at most ${MAXIMUM_REASON}`,
    );
  }
  return environment;
}

const MAXIMUM_REASON = 500;
