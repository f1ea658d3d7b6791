import { HOUR_MS, type Instant } from '../../core/time/instant.ts';
import { AcmeFailure } from '../../platform/acme/acme-failure.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import type { AcceptedChain } from './accept-chain.ts';
import type { ExternalAuthorityRecord } from './external-authority.ts';
import { MAXIMUM_ATTEMPTS, nextAttemptAt } from './external-order.ts';
import { findForeignCertificate, markSuperseded, releaseRenewal } from './foreign-certificate-store.ts';
import type { HeldOrder } from './held-order.ts';
import { isOurAuthority, recordForeignCertificate } from './record-certificate.ts';
import { deleteChallengeAnswers } from './order-store.ts';
import { forgetAccount } from './store.ts';

type SettleDeps = { readonly database: AuditedDatabase; readonly clock: Clock };

/** Puts what the CA gave into the inventory, in the place of what it renews. */
export async function finishOrder(
  { clock }: SettleDeps,
  held: HeldOrder,
  { authority, accepted }: { readonly authority: ExternalAuthorityRecord; readonly accepted: AcceptedChain },
): Promise<void> {
  const now = clock.now();
  const { id, environment, region, renews, endpointId, names, askedBy, askerRole, profile } = held.order;
  const { serial, serialHex, spkiSha256, notBefore, notAfter } = accepted.leaf;
  const facts = {
    authority: authority.name,
    profile,
    issuerKeySha256: accepted.issuer.spkiSha256,
    serial: serialHex,
    names,
    spkiSha256,
    notBefore,
    notAfter,
  };
  await held.move({ status: 'issued', detail: null }, { type: 'external-order.issued', actor: askedBy, data: facts }, async (unit) => {
    if (await isOurAuthority(unit.queries, accepted.issuer.spkiSha256))
      throw new AcmeFailure('refused', 'certificateRefused', 'it was issued by an authority of ours');
    const found = {
      ...accepted,
      door: 'external',
      asker: askedBy.name,
      askerRole,
      profile,
      environment,
      region,
      authorityId: authority.id,
      endpointId,
    } as const;
    const issuerId = await recordForeignCertificate(unit.queries, found, now);
    await deleteChallengeAnswers(unit.queries, id);
    if (renews !== null) await markSuperseded(unit.queries, renews, now);
    return { certificate: { issuerId, serial } };
  });
}

/** What may pass is tried again, ever later; what will not ends the order, and a renewal begins anew after a while. */
export async function settleFailure({ database, clock }: SettleDeps, held: HeldOrder, failure: AcmeFailure): Promise<void> {
  const { kind, type, status, message: detail, retryAt } = failure;
  const now = clock.now();
  const attempts = held.order.attempts + 1;
  const { id, authorityId, renews } = held.order;
  const forgotten = type === 'accountDoesNotExist';
  // The CA knows account or order no more: all begins anew, under a new account if need be.
  const lost = forgotten || status === 404;
  if ((kind === 'refused' && !lost) || attempts >= MAXIMUM_ATTEMPTS) {
    return held.move({ status: 'failed', detail, attempts }, { type: 'external-order.failed', data: { detail } }, async ({ queries }) => {
      await deleteChallengeAnswers(queries, id);
      const renewed = renews === null ? null : await findForeignCertificate(queries, renews);
      if (renewed !== null) await releaseRenewal(queries, renewed, { order: id, renewAt: nextRenewalAt(now, renewed.notAfter) });
    });
  }
  if (forgotten) await database.commit((unit) => forgetAccount(unit.queries, authorityId));
  const dueAt = nextAttemptAt(now, held.order.attempts, retryAt, Math.random());
  const again = lost ? ({ status: 'requested', url: null } as const) : {};
  await held.move({ ...again, attempts, dueAt, detail }, { type: 'external-order.deferred', data: { detail, attempts, dueAt } });
}

/** A tenth of the life that is left, an hour at least and half a day at most: enough tries before the end, and no storm. */
export function nextRenewalAt(now: Instant, notAfter: Instant): Instant {
  return now + Math.min(Math.max(Math.floor((notAfter - now) / 10), HOUR_MS), 12 * HOUR_MS);
}
