import { AcmeFailure } from '../../platform/acme/acme-failure.ts';
import type { Log } from '../../platform/log/logger.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { MAXIMUM_ATTEMPTS, nextAttemptAt } from './external-order.ts';
import { usualRenewal } from './foreign-certificate.ts';
import { findForeignCertificate, markRevokedThere, postponeRenewal } from './foreign-certificate-store.ts';
import { type ForeignRevocation, reasonCodes } from './foreign-revocation.ts';
import { takeDueRevocations, updateForeignRevocation } from './foreign-revocation-store.ts';
import { LEASE_MS } from './held-order.ts';
import { leafOf } from './leaf-of.ts';
import { type ExternalDeps, openExternalSession, SYSTEM } from './open-session.ts';
import { findExternalAuthorityById, forgetAccount } from './store.ts';

/** Asks other CAs for the revocations that are due. Safe to repeat: a CA that did it already says so, and that is the answer that was wanted. */
export async function askRevocations(deps: ExternalDeps & { readonly log: Log }): Promise<number> {
  const { database, clock, log } = deps;
  const now = clock.now();
  const taken = await database.commit((unit) => takeDueRevocations(unit.queries, { now, until: now + LEASE_MS, limit: ASKED_A_ROUND }));
  await Promise.all(
    taken.map((revocation) =>
      askRevocation(deps, revocation).catch((err: unknown) =>
        log('error', 'revocation at another CA failed inside', { issuerId: revocation.issuerId, err }),
      ),
    ),
  );
  return taken.length;
}

async function askRevocation(deps: ExternalDeps, held: ForeignRevocation): Promise<void> {
  const { queries } = deps.database;
  try {
    const authority = await findExternalAuthorityById(queries, held.authorityId);
    const certificate = await findForeignCertificate(queries, held);
    if (authority === null || certificate === null)
      throw new AcmeFailure('refused', 'unknownAuthority', 'the authority is declared no more');
    const { session } = await openExternalSession(deps, authority);
    const { reason } = held;
    await session.revoke(leafOf(certificate).der, reasonCodes[reason as keyof typeof reasonCodes]);
  } catch (error) {
    if (!(error instanceof AcmeFailure)) throw error;
    if (error.type !== 'alreadyRevoked') return settleRefusal(deps, held, error);
  }
  await settleRevoked(deps, held);
}

async function settleRevoked({ database, clock }: ExternalDeps, held: ForeignRevocation): Promise<void> {
  const now = clock.now();
  const { issuerId, serial, environment, region, reason, askedBy: actor } = held;
  // It may say that a key is known to others.
  await database.commitFenced(async (unit) => {
    if (!(await updateForeignRevocation(unit.queries, { ...held, status: 'revoked', detail: null }, held))) return;
    await markRevokedThere(unit.queries, held, { at: now, reason });
    const data = { issuerId, serial: Buffer.from(serial).toString('hex'), reason };
    recordEntry(unit, { type: 'external-certificate.revoked', at: now, environment, region, actor, data });
  });
}

async function settleRefusal({ database, clock }: ExternalDeps, held: ForeignRevocation, failure: AcmeFailure): Promise<void> {
  const { kind, type, message: detail, retryAt } = failure;
  const now = clock.now();
  const attempts = held.attempts + 1;
  const { issuerId, serial, authorityId, environment, region } = held;
  const forgotten = type === 'accountDoesNotExist';
  const isOver = (kind === 'refused' && !forgotten) || attempts >= MAXIMUM_ATTEMPTS;
  const next: ForeignRevocation = isOver
    ? { ...held, status: 'failed', attempts, detail }
    : { ...held, attempts, detail, dueAt: nextAttemptAt(now, held.attempts, retryAt, Math.random()) };
  await database.commit(async (unit) => {
    if (!(await updateForeignRevocation(unit.queries, next, held))) return;
    if (forgotten) await forgetAccount(unit.queries, authorityId);
    const certificate = isOver ? await findForeignCertificate(unit.queries, held) : null;
    if (certificate !== null) await postponeRenewal(unit.queries, held, Math.max(now, usualRenewal(leafOf(certificate))));
    const data = { issuerId, serial: Buffer.from(serial).toString('hex'), detail, attempts };
    const entry = isOver ? ('external-revocation.failed' as const) : ('external-revocation.deferred' as const);
    recordEntry(unit, { type: entry, at: now, environment, region, actor: SYSTEM, data });
  });
}

const ASKED_A_ROUND = 16;
