import { SECOND_MS } from '../../core/time/instant.ts';
import type { Fetched, FetchRequest } from '../../platform/network/fetch-outside.ts';

/** `fetchOutside` with its resolver and policy. */
export type FetchKeys = (request: FetchRequest) => Promise<Fetched>;

/** GETs a JSON object that an issuer publishes, from a server that its name and these anchors verify. @throws Error that says what went wrong */
export async function fetchJson(fetch: FetchKeys, url: string, anchorsPem: string | null): Promise<object> {
  const request = { url, timeoutMs: TIMEOUT_MS, maximumOctets: MAXIMUM_OCTETS, redirectPorts: [], verified: { anchorsPem } };
  const answer = await fetch(request);
  if (answer.kind === 'failed') throw new Error(`${answer.stage}: ${answer.detail}`);
  if (answer.status !== 200) throw new Error(`status ${answer.status}`);
  const value: unknown = JSON.parse(answer.body.toString('utf8'));
  if (typeof value !== 'object' || value === null) throw new Error('the answer is no JSON object');
  return value;
}

const TIMEOUT_MS = 5 * SECOND_MS;
const MAXIMUM_OCTETS = 262_144;
