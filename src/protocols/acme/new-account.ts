import { recordEntry } from '../../control/audit/record-entry.ts';
import type { Instant } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import { type Account, actorOfAccount, parseContacts, viewAccount } from './account.ts';
import { findAccountByKey, insertAccount } from './account-store.ts';
import { type AcmeAnswer, jsonAnswer, linkTo } from './answer.ts';
import { checkStanding, type Signed } from './authenticate.ts';
import { claimBinding, type VerifiedBinding, verifyBinding } from './binding.ts';
import type { AcmeDeps } from './deps.ts';
import { AcmeProblem, malformed } from './problems.ts';

type NewAccountDeps = Pick<AcmeDeps, 'database' | 'urls' | 'settings' | 'secrets' | 'place'>;

/** Registers a key, or finds the account that it has (RFC 8555 sections 7.3 and 7.3.1). */
export async function newAccount(deps: NewAccountDeps, { key, payload, url }: Signed, now: Instant): Promise<AcmeAnswer> {
  const { database, urls, settings, secrets, place } = deps;
  if (payload === null) throw malformed('the payload is empty');
  const { onlyReturnExisting = false, termsOfServiceAgreed, contact, externalAccountBinding } = payload;
  if (typeof onlyReturnExisting !== 'boolean') throw malformed('onlyReturnExisting is neither true nor false');
  const existing = await findAccountByKey(database.queries, key.thumbprint);
  if (existing !== null) return answerExisting(deps, existing);
  // The binding is asked of accounts that will be made only, or nobody could find his own again.
  if (onlyReturnExisting) throw new AcmeProblem('accountDoesNotExist', 'Cannot find account: this key has none');
  const contacts = parseContacts(contact);
  if (settings.termsOfService !== null && termsOfServiceAgreed !== true) throw termsNeeded(settings.termsOfService);
  const binding =
    externalAccountBinding === undefined
      ? null
      : await verifyBinding({ database, bindings: secrets.bindings }, externalAccountBinding, { key, url }, now);
  if (binding === null && settings.externalAccountRequired) {
    throw new AcmeProblem('externalAccountRequired', 'Cannot make account: this server binds each to a token of its operators');
  }
  const account: Account = {
    id: newEntityId('account', now),
    ...(binding === null ? place : { environment: binding.grant.environment, region: binding.grant.region }),
    jwk: key.jwk,
    thumbprint: key.thumbprint,
    contacts,
    status: 'valid',
    terms: settings.termsOfService,
    binding: binding === null ? null : { jws: binding.jws, tokenId: binding.grant.id, role: binding.grant.role },
    createdAt: now,
  };
  const made = await register(deps, account, binding, now);
  if (made.id !== account.id) return answerExisting(deps, made);
  return jsonAnswer(201, viewAccount(made, urls), { location: urls.account(made.id) });
}

/** @throws userActionRequired with the terms as its instance (RFC 8555 section 7.3.3) */
export function termsNeeded(termsOfService: string): AcmeProblem {
  return new AcmeProblem('userActionRequired', `Cannot proceed: the terms of service are not agreed to: ${termsOfService}`, {
    members: { instance: termsOfService },
    headers: { link: linkTo(termsOfService, 'terms-of-service') },
  });
}

function answerExisting({ urls }: NewAccountDeps, account: Account): AcmeAnswer {
  checkStanding(account);
  return jsonAnswer(200, viewAccount(account, urls), { location: urls.account(account.id) });
}

/** The account of this key: the one given, or the one of a request that came at the same time. */
async function register({ database }: NewAccountDeps, account: Account, binding: VerifiedBinding | null, now: Instant): Promise<Account> {
  return database.commit(async (unit) => {
    if (!(await insertAccount(unit.queries, account))) return (await findAccountByKey(unit.queries, account.thumbprint))!;
    if (binding !== null) await claimBinding(unit, binding, account.id, now);
    const { id, environment, region, thumbprint } = account;
    recordEntry(unit, {
      type: 'acme-account.created',
      at: now,
      environment,
      region,
      actor: actorOfAccount(account),
      data: { accountId: id, thumbprint, tokenId: binding?.grant.id ?? null, role: binding?.grant.role ?? null },
    });
    return account;
  });
}
