import { isEntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Account } from './account.ts';
import type { AcmeDeps } from './deps.ts';
import { type AccountKey, parseJwk } from './jwk.ts';
import { type Jws, parseJsonText, parseJws, verifyJws } from './jws.ts';
import { AcmeProblem, malformed } from './problems.ts';

/** How a route lets its caller name its key (RFC 8555 section 6.2). */
export type SignerRule = 'jwk' | 'kid' | 'either';

/** A POST whose signature, nonce and url hold. `account` is null for a caller that named its key itself. */
export type Signed = {
  readonly key: AccountKey;
  readonly account: Account | null;
  readonly payload: Jws['payload'];
  readonly url: string;
};

/**
 * Signature, then nonce, then url: a nonce is used up only by whoever holds an account key.
 * @throws malformed, badSignatureAlgorithm, badPublicKey, accountDoesNotExist, unauthorized, badNonce
 */
export async function authenticate(
  deps: Pick<AcmeDeps, 'accounts' | 'nonces' | 'urls' | 'chaos'>,
  request: { readonly body: string; readonly url: string; readonly signer: SignerRule },
  now: Instant,
): Promise<Signed> {
  const jws = parseJws(parseJsonText(request.body, 'the body'));
  const { signer } = jws;
  if (request.signer !== 'either' && request.signer !== signer.kind)
    throw malformed(`the JWS has ${signer.kind}, expected ${request.signer}`);
  const account = signer.kind === 'kid' ? await accountOf(deps, signer.kid) : null;
  const key = signer.kind === 'jwk' ? signer.key : accountKey(account!);
  verifyJws(jws, key);
  redeemNonce(deps, jws.nonce, now);
  if (jws.url !== request.url) {
    throw new AcmeProblem(
      'unauthorized',
      'Cannot accept request: the url of the JWS is not the URL that it was sent to (RFC 8555 section 6.4)',
    );
  }
  // Told to the key's holder only.
  if (account !== null) checkStanding(account);
  return { key, account, payload: jws.payload, url: jws.url };
}

/** @throws unauthorized, with status 401 (RFC 8555 section 7.3.6) */
export function checkStanding({ status }: Account): void {
  if (status !== 'valid') throw new AcmeProblem('unauthorized', `Cannot use account: it is ${status}`, { status: 401 });
}

async function accountOf({ accounts, urls }: Pick<AcmeDeps, 'accounts' | 'urls'>, kid: string): Promise<Account> {
  const prefix = urls.account('');
  const id = kid.startsWith(prefix) ? kid.slice(prefix.length) : '';
  const account = isEntityId('account', id) ? await accounts.find(id) : null;
  if (account === null) throw new AcmeProblem('accountDoesNotExist', 'Cannot find account: kid is the URL of none');
  return account;
}

function redeemNonce({ nonces, chaos }: Pick<AcmeDeps, 'nonces' | 'chaos'>, nonce: string | null, now: Instant): void {
  const verdict = nonce === null ? 'malformed' : nonces.redeem(nonce, now);
  if (verdict === 'malformed') throw malformed('the JWS has no nonce of base64url');
  if (verdict === 'bad' || chaos.refuseNonce()) {
    throw new AcmeProblem('badNonce', 'Cannot accept nonce: it is used, too old or not of this server; take the new one');
  }
}

/** The account's key. Opening one costs more than remembering it. Thumbprints are the keys' own hashes, so an entry is never stale. */
export function accountKey({ jwk, thumbprint }: Pick<Account, 'jwk' | 'thumbprint'>): AccountKey {
  const held = keys.get(thumbprint);
  if (held !== undefined) return held;
  if (keys.size >= MAXIMUM_KEYS) keys.delete(keys.keys().next().value!);
  const key = parseJwk(jwk);
  keys.set(thumbprint, key);
  return key;
}

const keys = new Map<string, AccountKey>();
const MAXIMUM_KEYS = 10_000;
