import type { AuditedUnit } from '../../control/audit/entry.ts';
import { recordEntry } from '../../control/audit/record-entry.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type Account, actorOfAccount, parseContacts, viewAccount } from './account.ts';
import { ALL_ACCOUNTS, findAccount, updateAccount } from './account-store.ts';
import { type AcmeAnswer, jsonAnswer } from './answer.ts';
import { deactivateAuthorizationsOf } from './authorization-store.ts';
import type { AcmeDeps } from './deps.ts';
import { malformed, notFound } from './problems.ts';

type UpdateDeps = Pick<AcmeDeps, 'database' | 'urls' | 'settings'>;

/** Reads, changes or deactivates the caller's own account (RFC 8555 sections 7.3.2 and 7.3.6). Unknown fields are ignored. */
export async function postAccount(
  deps: UpdateDeps,
  call: { readonly id: string; readonly account: Account; readonly payload: { readonly [name: string]: unknown } | null },
  now: Instant,
): Promise<AcmeAnswer> {
  const { id, account, payload } = call;
  if (id !== account.id) throw notFound();
  const change = payload === null ? {} : readChange(deps, payload);
  if (Object.keys(change).length === 0) return answer(deps, account);
  const applyChange = async (unit: AuditedUnit) => {
    if (!(await updateAccount(unit.queries, account.id, change))) return null;
    // RFC 8555 section 7.3.6: what is pending is called off; certificates stay.
    if (change.status === 'deactivated') await deactivateAuthorizationsOf(unit.queries, account.id);
    const { environment, region } = account;
    recordEntry(unit, {
      type: change.status === undefined ? 'acme-account.updated' : 'acme-account.deactivated',
      at: now,
      environment,
      region,
      actor: actorOfAccount(account),
      data: { accountId: account.id },
    });
    return findAccount(unit.queries, account.id);
  };
  const changed = await deps.database.commit(applyChange, [ALL_ACCOUNTS]);
  return answer(deps, changed ?? (await findAccount(deps.database.queries, account.id))!);
}

function answer({ urls }: UpdateDeps, account: Account): AcmeAnswer {
  return jsonAnswer(200, viewAccount(account, urls), { location: urls.account(account.id) });
}

/** What was deactivated stays so: nothing else of the request counts then. */
function readChange(
  { settings }: UpdateDeps,
  payload: { readonly [name: string]: unknown },
): Partial<Pick<Account, 'contacts' | 'terms' | 'status'>> {
  const { status, contact, termsOfServiceAgreed } = payload;
  if (status !== undefined && status !== 'valid' && status !== 'deactivated') throw malformed('status is not deactivated');
  if (status === 'deactivated') return { status };
  return {
    ...(contact === undefined ? {} : { contacts: parseContacts(contact) }),
    ...(termsOfServiceAgreed === true && settings.termsOfService !== null ? { terms: settings.termsOfService } : {}),
  };
}
