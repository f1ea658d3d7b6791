import { timingSafeEqual } from 'node:crypto';
import { fetchOutside } from '../../platform/network/fetch-outside.ts';
import type { Authorization } from './authorization.ts';
import type { KeyAuthorization, Proof, ProofDeps } from './proof.ts';

/** RFC 8555 section 8.3, for addresses RFC 8738 section 4: the key authorization lies under a well-known path. */
export async function proveByHttp(
  { resolver, policy, ports }: ProofDeps,
  { identifier, token }: Pick<Authorization, 'identifier' | 'token'>,
  expected: KeyAuthorization,
): Promise<Proof> {
  const host = identifier.value.includes(':') ? `[${identifier.value}]` : identifier.value;
  const port = ports.http === 80 ? '' : `:${ports.http}`;
  const url = `http://${host}${port}/.well-known/acme-challenge/${token}`;
  const fetched = await fetchOutside(
    { resolver, policy },
    { url, timeoutMs: TIMEOUT_MS, maximumOctets: MAXIMUM_OCTETS, redirectPorts: [...new Set([80, 443, ports.http, ports.tls])] },
  );
  if (fetched.kind === 'failed') {
    const type = fetched.stage === 'dns' ? 'dns' : fetched.stage === 'answer' ? 'incorrectResponse' : 'connection';
    return { kind: 'failed', type, detail: `${url}: ${fetched.detail}` };
  }
  if (fetched.status !== 200)
    return { kind: 'failed', type: 'incorrectResponse', detail: `${url}: status ${fetched.status}, expected 200` };
  // White space at the end is ignored. What else the answer holds is not told: it may be another server's page.
  const shown = Buffer.from(fetched.body.toString('latin1').trimEnd(), 'latin1');
  const wanted = Buffer.from(expected.text, 'latin1');
  const equal = shown.length === wanted.length && timingSafeEqual(shown, wanted);
  return equal
    ? { kind: 'proven', address: fetched.address }
    : { kind: 'failed', type: 'incorrectResponse', detail: `${url}: the answer is not the key authorization` };
}

const TIMEOUT_MS = 10_000;
const MAXIMUM_OCTETS = 1_024;
