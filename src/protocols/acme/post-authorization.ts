import { recordEntry } from '../../control/audit/record-entry.ts';
import { type Instant, SECOND_MS } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { type Account, actorOfAccount } from './account.ts';
import { type AcmeAnswer, jsonAnswer, linkTo } from './answer.ts';
import {
  type Authorization,
  authorizationStatus,
  challengeStatus,
  orderedName,
  viewAuthorization,
  viewChallenge,
} from './authorization.ts';
import { chooseChallenge, deactivateAuthorization, findAuthorization } from './authorization-store.ts';
import { challengesFor, isChallengeType } from './challenge-type.ts';
import type { AcmeDeps } from './deps.ts';
import { malformed, notFound } from './problems.ts';
import { LEASE_MS } from './validator.ts';

type AuthorizationDeps = Pick<AcmeDeps, 'database' | 'urls' | 'settings' | 'validator'>;
type Payload = { readonly [name: string]: unknown } | null;

/** Reads or deactivates an authorization (RFC 8555 sections 7.5 and 7.5.2). */
export async function postAuthorization(
  deps: AuthorizationDeps,
  { account, id, payload }: { readonly account: Account; readonly id: string; readonly payload: Payload },
  now: Instant,
): Promise<AcmeAnswer> {
  const authorization = await ownAuthorization(deps.database.queries, account, id);
  if (payload === null || payload['status'] === undefined) return answer(deps, await settled(deps, account, authorization), now);
  if (payload['status'] !== 'deactivated') throw malformed('status is not deactivated');
  const status = authorizationStatus(now, authorization);
  if (status !== 'pending' && status !== 'valid') throw malformed(`the authorization is ${status}, expected pending or valid`);
  const changed = await deps.database.commit(async (unit) => {
    if (await deactivateAuthorization(unit.queries, authorization.id)) {
      const { environment, region } = authorization;
      const data = { authorizationId: authorization.id, accountId: account.id, name: orderedName(authorization) };
      recordEntry(unit, { type: 'acme-authorization.deactivated', at: now, environment, region, actor: actorOfAccount(account), data });
    }
    return findAuthorization(unit.queries, authorization.id);
  });
  return answer(deps, changed!, now);
}

/**
 * Starts the validation of a challenge (RFC 8555 section 7.5.1), or, as POST-as-GET, reads it. A second post of it, or of another
 * challenge of the same authorization, starts nothing and is told how things stand.
 */
export async function postChallenge(
  deps: AuthorizationDeps,
  call: { readonly account: Account; readonly id: string; readonly type: string; readonly payload: Payload },
  now: Instant,
): Promise<AcmeAnswer> {
  const { database, urls, settings, validator } = deps;
  const { account, id, type, payload } = call;
  const authorization = await ownAuthorization(database.queries, account, id);
  const { identifier, wildcard } = authorization;
  if (!isChallengeType(type) || !settings.challenges.includes(type) || !challengesFor(identifier.type, wildcard).includes(type))
    throw notFound();
  let current = authorization;
  if (payload !== null && authorization.challenge === null) {
    if (authorizationStatus(now, authorization) !== 'pending') throw malformed('the authorization is not pending');
    const dueAt = now + LEASE_MS;
    const chosen = await database.commit((unit) => chooseChallenge(unit.queries, authorization.id, { challenge: type, dueAt }, now));
    // A fast answer spares the client its polls, a slow one must not hold its request.
    const decided = chosen ? await patiently(validator.start({ ...authorization, challenge: type })) : null;
    current = decided ?? (await ownAuthorization(database.queries, account, id));
  }
  const waits = current.challenge === type && challengeStatus(current) === 'processing';
  return jsonAnswer(200, viewChallenge(current, type, settings, urls), {
    link: linkTo(urls.authorization(id), 'up'),
    ...(waits ? { 'retry-after': '1' } : {}),
  });
}

/** As it stands once its validation came to an end, or when patience did: a client that polls in a loop learns it by one request. */
async function settled({ database, validator }: AuthorizationDeps, account: Account, read: Authorization): Promise<Authorization> {
  const decided = read.status === 'pending' && read.challenge !== null ? validator.decided(read.id) : null;
  if (decided === null) return read;
  return (await patiently(decided)) ?? ownAuthorization(database.queries, account, read.id);
}

async function ownAuthorization(queries: Queries, account: Account, id: string): Promise<Authorization> {
  const authorization = await findAuthorization(queries, id);
  if (authorization === null || authorization.accountId !== account.id) throw notFound();
  return authorization;
}

function answer({ settings, urls }: AuthorizationDeps, authorization: Authorization, now: Instant): AcmeAnswer {
  const waits = authorization.challenge !== null && authorization.status === 'pending';
  return jsonAnswer(200, viewAuthorization(now, authorization, settings, urls), waits ? { 'retry-after': '1' } : {});
}

/** Null if it takes too long. */
async function patiently<T>(work: Promise<T>): Promise<T | null> {
  const { promise, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(resolve, PATIENCE_MS, null).unref();
  const outcome = await Promise.race([work, promise]);
  clearTimeout(timer);
  return outcome;
}

/** Long enough for a validation on a near network; a client that answers challenges in the same thread loses no more than this. */
const PATIENCE_MS = SECOND_MS / 4;
