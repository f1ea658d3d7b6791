import { isIP } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { AcmeFailure } from '../../platform/acme/acme-failure.ts';
import { type AcmeOrder, readAuthorization, readOrder } from '../../platform/acme/acme-resources.ts';
import { type AcmeReply, type AcmeSession, retryAfterOf } from '../../platform/acme/acme-session.ts';
import type { AcmeAccountKey } from '../../platform/acme/sign-jws.ts';
import { isKeyCompromised } from '../ca/certificate-store.ts';
import { acceptChain } from './accept-chain.ts';
import type { ExternalAuthorityRecord } from './external-authority.ts';
import type { ExternalOrder } from './external-order.ts';
import { CONFLICT, HeldOrder } from './held-order.ts';
import { isSaidCompromised } from './foreign-revocation-store.ts';
import { type ExternalDeps, openExternalSession } from './open-session.ts';
import { finishOrder, settleFailure } from './settle-order.ts';
import { presentAnswer, type PresentedRecord, removeRecord } from './solve-challenge.ts';
import { findExternalAuthorityById } from './store.ts';

export type DriveDeps = ExternalDeps & { readonly signal: AbortSignal };

type Work = {
  readonly held: HeldOrder;
  readonly authority: ExternalAuthorityRecord;
  readonly session: AcmeSession;
  readonly key: AcmeAccountKey;
};

/**
 * Takes an order as far as it goes now. Each step is durable before the next, and the CA's own status says which that is: so it is
 * resumed as it is begun.
 */
export async function driveOrder(deps: DriveDeps, order: ExternalOrder): Promise<void> {
  const held = new HeldOrder(deps, order);
  try {
    const authority = await findExternalAuthorityById(deps.database.queries, order.authorityId);
    if (authority === null) throw new AcmeFailure('refused', 'unknownAuthority', 'the authority is declared no more');
    const work: Work = { held, authority, ...(await openExternalSession(deps, authority)) };
    if (held.order.status === 'requested') await held.move({ status: 'placing' }, { type: 'external-order.placing' });
    if (held.order.status === 'placing') await placeOrder(work);
    await completeOrder(deps, work);
  } catch (error) {
    // A process that ends hands the order on at once.
    if (deps.signal.aborted) return void (await held.move({ dueAt: deps.clock.now() }, null).catch(() => undefined));
    if (!(error instanceof AcmeFailure)) throw error;
    if (error.type !== CONFLICT) await settleFailure(deps, held, error);
  }
}

/** An order whose answer was lost in a crash is never finalized, so it gives no certificate: it ends at the CA by itself. */
async function placeOrder({ held, authority, session }: Work): Promise<void> {
  const { names, replaces } = held.order;
  const { profile } = authority.settings;
  const base = {
    identifiers: names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value })),
    ...(profile === null ? {} : { profile }),
  };
  const ari = (await session.directory()).renewalInfo !== null;
  let url: string;
  try {
    url = await session.order({ ...base, ...(replaces === null || !ari ? {} : { replaces }) });
  } catch (error) {
    // RFC 9773 section 5: a certificate is replaced once, and what a CA does not know is replaced never; the names are asked for all the same.
    if (!(error instanceof AcmeFailure) || error.kind === 'deferred' || replaces === null || !ari) throw error;
    url = await session.order(base);
  }
  await held.move({ status: 'placed', url }, { type: 'external-order.placed', data: { url } });
}

async function completeOrder(deps: DriveDeps, work: Work): Promise<void> {
  const { held, session, authority } = work;
  for (let polls = 0; polls < MAXIMUM_POLLS; polls++) {
    const reply = await session.post(held.order.url!, null);
    const remote = readOrder(reply.json, session.origin);
    refuseOtherNames(held.order, remote);
    if (remote.status === 'pending') await proveNames(deps, work, remote.authorizations);
    else if (remote.status === 'ready') await finalize(deps, work, remote.finalize);
    else if (remote.status === 'invalid') throw new AcmeFailure('refused', 'orderInvalid', remote.error ?? 'the CA gives no reason');
    else if (remote.status === 'valid' && remote.certificate !== null) {
      const verdict = acceptChain(await session.chains(remote.certificate), held.order, authority.settings, deps.clock.now());
      if (verdict.kind === 'refused') throw new AcmeFailure('refused', 'certificateRefused', verdict.detail);
      return finishOrder(deps, held, { authority, accepted: verdict });
    } else await rest(deps, held, reply);
  }
  throw new AcmeFailure('deferred', 'timeout', 'the CA did not come to an end');
}

function refuseOtherNames({ names }: ExternalOrder, { identifiers }: AcmeOrder): void {
  const [asked, got] = [names, identifiers.map(({ value }) => value)].map((all) => [...all].toSorted().join(' '));
  if (asked !== got) throw new AcmeFailure('refused', 'orderRefused', "the CA's order has other names");
}

async function proveNames(deps: DriveDeps, work: Work, urls: readonly string[]): Promise<void> {
  const presented: PresentedRecord[] = [];
  try {
    for (const url of urls) await proveName(deps, work, { url, presented });
  } finally {
    for (const record of presented) await removeRecord(deps, work.authority, record).catch(() => undefined);
  }
}

async function proveName(
  deps: DriveDeps,
  { held, authority, session, key }: Work,
  { url, presented }: { readonly url: string; readonly presented: PresentedRecord[] },
): Promise<void> {
  for (let polls = 0; polls < MAXIMUM_POLLS; polls++) {
    const reply = await session.post(url, null);
    const authorization = readAuthorization(reply.json, session.origin);
    const { status, challenges, identifier } = authorization;
    if (status === 'valid') return;
    if (status !== 'pending') {
      const detail = challenges.find(({ error }) => error !== null)?.error ?? 'no reason given';
      throw new AcmeFailure('refused', 'authorizationFailed', `${identifier.value} is ${status}: ${detail}`);
    }
    // An answer is given only for what was asked for: a CA could otherwise have any record of ours.
    if (!held.order.names.some((name) => name.replace(/^\*\./, '') === identifier.value))
      throw new AcmeFailure('refused', 'orderRefused', `the CA wants ${identifier.value} proved, which was not asked for`);
    if (polls === 0) {
      const { challenge, record } = await presentAnswer(deps, { authority, order: held.order, key }, authorization);
      if (record !== null) presented.push(record);
      await held.keep();
      if (challenge.status === 'pending') await session.post(challenge.url, {});
    } else await rest(deps, held, reply);
  }
  throw new AcmeFailure('deferred', 'timeout', 'the CA did not judge in time');
}

/** A key that became known to others since it was asked for gets no certificate. */
async function finalize({ database }: DriveDeps, { held, session }: Work, url: string): Promise<void> {
  const { csr } = held.order;
  const { spkiSha256 } = parseCertificateRequest(csr);
  if ((await isKeyCompromised(database.queries, spkiSha256)) || (await isSaidCompromised(database.queries, spkiSha256))) {
    throw new AcmeFailure('refused', 'badPublicKey', 'the key is known to be compromised');
  }
  // Who lost the order meanwhile finalizes nothing.
  await held.move({}, { type: 'external-order.finalizing' });
  await session.post(url, { csr: Buffer.from(csr).toString('base64url') });
}

/** As long as the CA asks, within what a poll may wait. */
async function rest({ clock, signal }: DriveDeps, held: HeldOrder, { headers }: AcmeReply): Promise<void> {
  const asked = (retryAfterOf(headers, clock.now()) ?? 0) - clock.now();
  await pause(Math.min(Math.max(asked, SHORTEST_REST_MS), LONGEST_REST_MS), undefined, { signal });
  await held.keep();
}

/** With the longest rest a quarter of an hour; what takes longer is taken up again. */
const MAXIMUM_POLLS = 60;
const SHORTEST_REST_MS = 250;
const LONGEST_REST_MS = 15_000;
