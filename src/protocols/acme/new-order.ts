import type { AuditedUnit } from '../../control/audit/entry.ts';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import { randomOctets } from '../../platform/ids/random-octets.ts';
import type { Account } from './account.ts';
import { type AcmeAnswer, jsonAnswer } from './answer.ts';
import type { Authorization } from './authorization.ts';
import { insertAuthorizations, listValidAuthorizations } from './authorization-store.ts';
import type { AcmeDeps } from './deps.ts';
import type { Identifier } from './identifier.ts';
import { allowancesOf, takeOrder } from './limits.ts';
import { termsNeeded } from './new-account.ts';
import { type Order, viewOrder } from './order.ts';
import { insertOrder } from './order-store.ts';
import { malformed } from './problems.ts';
import { parseIdentifiers } from './parse-identifiers.ts';
import { parseProfile } from './profiles.ts';
import { checkReplacement } from './renewal-info.ts';

type NewOrderDeps = Pick<AcmeDeps, 'database' | 'authorities' | 'urls' | 'settings'>;

/** Orders a certificate (RFC 8555 section 7.4). What the account has proved lately is not asked for again. */
export async function newOrder(
  deps: NewOrderDeps,
  { account, payload }: { readonly account: Account; readonly payload: { readonly [name: string]: unknown } | null },
  now: Instant,
): Promise<AcmeAnswer> {
  const { database, authorities, urls, settings } = deps;
  if (payload === null) throw malformed('the payload is empty');
  // RFC 8555 section 7.4: what cannot be honoured is refused, never altered.
  if (payload['notBefore'] !== undefined || payload['notAfter'] !== undefined) {
    throw malformed('notBefore and notAfter are chosen by the profile, expected neither');
  }
  if (settings.termsOfService !== null && account.terms !== settings.termsOfService) throw termsNeeded(settings.termsOfService);
  const identifiers = parseIdentifiers(payload['identifiers']);
  const profile = parseProfile(payload['profile'], { authorities, environment: account.environment });
  const names = identifiers.map(({ value }) => value);
  const makeOrder = async (unit: AuditedUnit) => {
    const replaces = await checkReplacement(unit.queries, { account, value: payload['replaces'], names }, now);
    // RFC 9773 section 5: what ARI asked for is not held against the client.
    if (replaces === null) await takeOrder(unit, settings.limits, { accountId: account.id, names }, now);
    const proven = await listValidAuthorizations(unit.queries, account.id, identifiers.map(baseOf), now);
    const authorizations = identifiers.map(
      (identifier) => proven.find((one) => proves(one, identifier)) ?? newAuthorization(account, identifier, now),
    );
    const { environment, region } = account;
    const made: Order = {
      id: newEntityId('order', now),
      accountId: account.id,
      environment,
      region,
      status: 'open',
      profile,
      identifiers,
      authorizations: authorizations.map(({ id }) => id),
      replaces,
      error: null,
      processingAt: null,
      certificate: null,
      createdAt: now,
      expiresAt: now + PENDING_FOR_MS,
    };
    await insertAuthorizations(
      unit.queries,
      authorizations.filter((one) => !proven.includes(one)),
    );
    await insertOrder(unit.queries, made);
    return { made, authorizations };
  };
  const order = await database.commit(makeOrder, [allowancesOf(account.id)]);
  return jsonAnswer(201, viewOrder(now, order.made, order.authorizations, urls), { location: urls.order(order.made.id) });
}

function newAuthorization({ id: accountId, environment, region }: Account, identifier: Identifier, now: Instant): Authorization {
  return {
    id: newEntityId('authorization', now),
    accountId,
    environment,
    region,
    identifier: { type: identifier.type, value: baseOf(identifier) },
    wildcard: isWildcard(identifier),
    status: 'pending',
    token: Buffer.from(randomOctets(TOKEN_OCTETS)).toString('base64url'),
    challenge: null,
    error: null,
    validatedAt: null,
    createdAt: now,
    expiresAt: now + PENDING_FOR_MS,
  };
}

/** A proof for the base says nothing of the wildcard, nor the other way round. */
function proves({ identifier, wildcard }: Authorization, asked: Identifier): boolean {
  return identifier.type === asked.type && identifier.value === baseOf(asked) && wildcard === isWildcard(asked);
}

function isWildcard({ type, value }: Identifier): boolean {
  return type === 'dns' && value.startsWith('*.');
}

function baseOf(identifier: Identifier): string {
  return isWildcard(identifier) ? identifier.value.slice(2) : identifier.value;
}

/** RFC 8555 section 8.1 wants 128 bits. */
const TOKEN_OCTETS = 32;
const PENDING_FOR_MS = 7 * DAY_MS;
