import type { AuditedUnit } from '../../control/audit/entry.ts';
import { recordEntry } from '../../control/audit/record-entry.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type Account, actorOfAccount, viewAccount } from './account.ts';
import { ALL_ACCOUNTS, changeAccountKey, findAccount, findAccountByKey } from './account-store.ts';
import { type AcmeAnswer, jsonAnswer } from './answer.ts';
import type { AcmeDeps } from './deps.ts';
import { type AccountKey, parseJwk } from './jwk.ts';
import { parseJws, verifyJws } from './jws.ts';
import { AcmeProblem, malformed } from './problems.ts';

/** Gives an account another key (RFC 8555 section 7.3.5): signed by the old one outside and by the new one inside. Orders stay. */
export async function changeKey(
  { database, urls }: Pick<AcmeDeps, 'database' | 'urls'>,
  call: { readonly account: Account; readonly payload: { readonly [name: string]: unknown } | null; readonly url: string },
  now: Instant,
): Promise<AcmeAnswer> {
  const { account } = call;
  const next = readInner(call, urls.account(account.id));
  const applyKey = async (unit: AuditedUnit) => {
    const holder = await findAccountByKey(unit.queries, next.thumbprint);
    if (holder !== null) return { kind: 'held', holder } as const;
    const keys = { from: account.thumbprint, to: next };
    if (!(await changeAccountKey(unit.queries, account.id, keys))) return { kind: 'overtaken' } as const;
    const { environment, region } = account;
    const data = { accountId: account.id, from: account.thumbprint, to: next.thumbprint };
    recordEntry(unit, { type: 'acme-account.key-changed', at: now, environment, region, actor: actorOfAccount(account), data });
    return { kind: 'changed', account: (await findAccount(unit.queries, account.id))! } as const;
  };
  const changed = await database.commit(applyKey, [ALL_ACCOUNTS]);
  if (changed.kind === 'held') {
    throw malformed('the new key is the key of an account', { status: 409, headers: { location: urls.account(changed.holder.id) } });
  }
  if (changed.kind === 'overtaken') throw new AcmeProblem('unauthorized', 'Cannot change key: the account has another key by now');
  return jsonAnswer(200, viewAccount(changed.account, urls), { location: urls.account(account.id) });
}

/** The new key, with proof that its holder wants this account. @throws malformed */
function readInner(
  { account, payload, url }: { readonly account: Account; readonly payload: unknown; readonly url: string },
  accountUrl: string,
): AccountKey {
  const inner = parseJws(payload);
  if (inner.signer.kind !== 'jwk') throw malformed('the inner JWS names no jwk');
  if (inner.nonce !== null) throw malformed('the inner JWS has a nonce');
  if (inner.url !== url) throw malformed('the url of the inner JWS is not that of the outer');
  const { key } = inner.signer;
  verifyJws(inner, key);
  const { account: named, oldKey } = inner.payload ?? {};
  if (named !== accountUrl) throw malformed('the inner payload names another account');
  if (parseJwk(oldKey).thumbprint !== account.thumbprint) throw malformed('oldKey is not the key of the account');
  if (key.thumbprint === account.thumbprint) throw malformed('the new key is the old one');
  return key;
}
