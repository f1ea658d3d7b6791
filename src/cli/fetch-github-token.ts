import { request } from 'node:https';
import { Problem } from '../core/problems/problem.ts';
import type { Secret } from '../core/secrets/secret.ts';
import { parseToken, UnreachableServer } from './client.ts';

/**
 * Asks GitHub Actions for the token of this job, for this audience. The runner sets the address and what authorizes the request where the workflow has
 * `permissions: id-token: write`; nothing of either is said in an error.
 * @throws input-invalid where they are missing, UnreachableServer where no token comes
 */
export async function fetchGithubToken(environment: NodeJS.ProcessEnv, audience: string): Promise<Secret> {
  const address = environment['ACTIONS_ID_TOKEN_REQUEST_URL'];
  const authorization = environment['ACTIONS_ID_TOKEN_REQUEST_TOKEN'];
  if (!address || !authorization) {
    throw new Problem(
      'input-invalid',
      'Cannot fetch token: ACTIONS_ID_TOKEN_REQUEST_URL and _TOKEN are not set, expected a job of GitHub Actions with `permissions: id-token: write`',
    );
  }
  const url = URL.canParse(address) ? new URL(address) : null;
  // The request carries a secret.
  if (url?.protocol !== 'https:')
    throw new Problem('input-invalid', 'Cannot fetch token: ACTIONS_ID_TOKEN_REQUEST_URL, expected an https URL');
  url.searchParams.set('audience', audience);
  return parseToken('the answer of GitHub Actions', await get(url, parseToken('ACTIONS_ID_TOKEN_REQUEST_TOKEN', authorization)));
}

function get(url: URL, authorization: Secret): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const fail = (why: string): void => reject(new UnreachableServer(`Cannot fetch token from ${url.host}: ${why}`));
  const headers = { accept: 'application/json; api-version=2.0', authorization: `Bearer ${authorization.reveal()}` };
  const outgoing = request(url, { headers, agent: false, signal: AbortSignal.timeout(TIMEOUT_MS) });
  outgoing.on('error', (error: NodeJS.ErrnoException) =>
    fail(error.name === 'AbortError' ? 'no answer in time' : (error.code ?? 'failed')),
  );
  outgoing.on('response', (response) => {
    // A redirect is not followed: it would carry the secret elsewhere.
    if (response.statusCode !== 200) {
      fail(`status ${response.statusCode}`);
      return void response.destroy();
    }
    let body = '';
    response.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk;
      if (body.length <= MAXIMUM_ANSWER) return;
      fail(`more than ${MAXIMUM_ANSWER} octets`);
      response.destroy();
    });
    response.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? 'failed'));
    response.on('end', () => {
      const token = readValue(body);
      if (token === null) fail('the answer has no token');
      else resolve(token);
    });
  });
  outgoing.end();
  return promise;
}

function readValue(body: string): string | null {
  try {
    const { value } = JSON.parse(body) as { readonly value?: unknown };
    return typeof value === 'string' ? value : null;
  } catch {
    return null;
  }
}

/** Pipelines retry as a whole; one that hangs costs a runner. */
const TIMEOUT_MS = 20_000;
/** Tokens are a few KiB. */
const MAXIMUM_ANSWER = 65_536;
