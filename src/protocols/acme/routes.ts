import type { Instant } from '../../core/time/instant.ts';
import type { Account } from './account.ts';
import type { AcmeAnswer } from './answer.ts';
import { authenticate, type Signed, type SignerRule } from './authenticate.ts';
import type { AcmeDeps } from './deps.ts';
import { answerDirectory } from './directory.ts';
import { finalizeOrder } from './finalize-order.ts';
import { changeKey } from './key-change.ts';
import { newAccount } from './new-account.ts';
import { newOrder } from './new-order.ts';
import { postAuthorization, postChallenge } from './post-authorization.ts';
import { AcmeProblem, malformed, notFound } from './problems.ts';
import { readCertificate } from './read-certificate.ts';
import { readOrder, readOrders } from './read-order.ts';
import { answerRenewalInfo } from './renewal-info.ts';
import { postRevocation } from './revoke-certificate.ts';
import { postAccount } from './update-account.ts';

/** A request as it came to the listener. */
export type AcmeRequest = {
  readonly method: string;
  /** Path with query, as it was sent. */
  readonly target: string;
  readonly contentType: string;
  readonly body: string;
  readonly remoteAddress: string;
};

/** A signed request to a resource: what the pattern of its path caught, and its query as it was sent, without the mark. */
export type Call = Signed & { readonly parts: readonly string[]; readonly query: string };
/** The same by an account. */
export type AccountCall = Call & { readonly account: Account };

type PostRoute = {
  readonly pattern: RegExp;
  readonly signer: SignerRule;
  readonly answer: (deps: AcmeDeps, call: Call, now: Instant) => Promise<AcmeAnswer>;
};

/** Every resource that takes a POST. Each checks by itself that what it names is the caller's. */
const postRoutes: readonly PostRoute[] = [
  {
    pattern: /^\/acme\/new-account$/,
    signer: 'jwk',
    answer: (deps, call, now) => newAccount(deps, call, now),
  },
  byAccount(/^\/acme\/account\/([a-z0-9_]+)$/, (deps, { parts, account, payload }, now) =>
    postAccount(deps, { id: parts[0]!, account, payload }, now),
  ),
  asGet(/^\/acme\/account\/([a-z0-9_]+)\/orders$/, (deps, { parts, account, query }, now) =>
    readOrders(deps, { id: parts[0]!, account, query: new URLSearchParams(query) }, now),
  ),
  byAccount(/^\/acme\/key-change$/, changeKey),
  byAccount(/^\/acme\/new-order$/, newOrder),
  asGet(/^\/acme\/order\/([a-z0-9_]+)$/, (deps, { parts, account }, now) => readOrder(deps, { id: parts[0]!, account }, now)),
  byAccount(/^\/acme\/order\/([a-z0-9_]+)\/finalize$/, (deps, { parts, account, payload }, now) =>
    finalizeOrder(deps, { id: parts[0]!, account, payload }, now),
  ),
  asGet(/^\/acme\/certificate\/([a-z0-9_]+)$/, (deps, { parts, account }) => readCertificate(deps, { id: parts[0]!, account })),
  byAccount(/^\/acme\/authorization\/([a-z0-9_]+)$/, (deps, { parts, account, payload }, now) =>
    postAuthorization(deps, { id: parts[0]!, account, payload }, now),
  ),
  byAccount(/^\/acme\/challenge\/([a-z0-9_]+)\/([a-z0-9-]+)$/, (deps, { parts, account, payload }, now) =>
    postChallenge(deps, { id: parts[0]!, type: parts[1]!, account, payload }, now),
  ),
  { pattern: /^\/acme\/revoke-cert$/, signer: 'either', answer: postRevocation },
];

function byAccount(pattern: RegExp, answer: (deps: AcmeDeps, call: AccountCall, now: Instant) => Promise<AcmeAnswer>): PostRoute {
  return {
    pattern,
    signer: 'kid',
    answer: (deps, call, now) => {
      if (call.account === null) throw new TypeError('Cannot answer: a kid without an account');
      return answer(deps, { ...call, account: call.account }, now);
    },
  };
}

function asGet(pattern: RegExp, answer: (deps: AcmeDeps, call: AccountCall, now: Instant) => Promise<AcmeAnswer>): PostRoute {
  return byAccount(pattern, (deps, call, now) => {
    demandPostAsGet(call);
    return answer(deps, call, now);
  });
}

/** Answers one request. @throws AcmeProblem and whatever fails inside */
export async function answerAcme(deps: AcmeDeps, request: AcmeRequest, now: Instant): Promise<AcmeAnswer> {
  const { method, target } = request;
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  if (path === '/acme/directory' || path === '/acme/new-nonce') return answerOpen(deps, method, path);
  if (path.startsWith(RENEWAL_INFO)) {
    demandGet(method);
    return answerRenewalInfo(deps, path.slice(RENEWAL_INFO.length));
  }
  const found = findRoute(path);
  if (found === null) throw notFound();
  // RFC 8555 section 6.3: what needs a signature cannot be had by GET.
  if (method !== 'POST') throw malformed(`${method} is not for this resource, expected POST`, { status: 405, headers: { allow: 'POST' } });
  if (!/^application\/jose\+json(?:\s*;.*)?$/i.test(request.contentType)) {
    throw malformed('the media type is not application/jose+json', { status: 415 });
  }
  if (path === '/acme/new-account') deps.addressLimit.take(request.remoteAddress, now);
  const signed = await authenticate(deps, { body: request.body, url: `${deps.urls.base}${target}`, signer: found.route.signer }, now);
  return found.route.answer(deps, { ...signed, parts: found.parts, query: mark < 0 ? '' : target.slice(mark + 1) }, now);
}

function findRoute(path: string): { readonly route: PostRoute; readonly parts: readonly string[] } | null {
  for (const route of postRoutes) {
    const match = route.pattern.exec(path);
    if (match !== null) return { route, parts: match.slice(1) };
  }
  return null;
}

/** What anybody may ask without a signature. A nonce is on every answer (RFC 8555 section 7.2: 200 for HEAD, 204 for GET). */
function answerOpen(deps: AcmeDeps, method: string, path: string): AcmeAnswer {
  demandGet(method);
  if (path === '/acme/directory') return answerDirectory(deps);
  return { status: method === 'HEAD' ? 200 : 204, headers: {}, body: null };
}

function demandGet(method: string): void {
  if (method === 'GET' || method === 'HEAD') return;
  throw malformed(`${method} is not for this resource, expected GET`, { status: 405, headers: { allow: 'GET, HEAD' } });
}

/** @throws malformed unless the payload is the empty one of POST-as-GET (RFC 8555 section 6.3) */
function demandPostAsGet({ payload }: Signed): void {
  if (payload !== null) throw new AcmeProblem('malformed', 'Cannot read resource: the payload is not empty, expected POST-as-GET');
}

const RENEWAL_INFO = '/acme/renewal-info/';
