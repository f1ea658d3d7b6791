import { type IncomingMessage, request as httpRequest } from 'node:http';
import { connect as tlsConnect } from 'node:tls';
import { isIP, type Socket } from 'node:net';
import { dialOutside } from './dial-outside.ts';
import type { NameResolver } from './name-resolver.ts';
import type { OutsidePolicy } from './outside-policy.ts';
import { hostOf, portOf } from './outside-url.ts';
import { readBody } from './read-body.ts';

/** The last answer, or why there is none; details are fit to be shown to whoever named the URL. */
export type Fetched =
  | { readonly kind: 'answered'; readonly status: number; readonly body: Buffer; readonly url: string; readonly address: string }
  | { readonly kind: 'failed'; readonly stage: 'dns' | 'policy' | 'connection' | 'answer'; readonly detail: string };

export type FetchRequest = {
  readonly url: string;
  readonly timeoutMs: number;
  /** A longer body is a failure. */
  readonly maximumOctets: number;
  /** Ports that a redirect may lead to. */
  readonly redirectPorts: readonly number[];
  /** Of https, that the server is the one that the URL names, under these anchors (PEM; null: those that come with Node). Absent: not checked. */
  readonly verified?: { readonly anchorsPem: string | null };
};

/**
 * GETs a URL that a stranger named: addresses by policy, each redirect judged anew, everything within one time limit. What the server of an
 * https redirect is called is not checked: the content proves itself.
 */
export async function fetchOutside(
  deps: { readonly resolver: NameResolver; readonly policy: OutsidePolicy },
  request: FetchRequest,
): Promise<Fetched> {
  // A signal with a time limit of its own would go off, and make its error, long after all was answered.
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), request.timeoutMs);
  try {
    return await fetchWithin(deps, request, limit.signal);
  } finally {
    clearTimeout(timer);
  }
}

async function fetchWithin(
  deps: { readonly resolver: NameResolver; readonly policy: OutsidePolicy },
  { url, maximumOctets, redirectPorts, verified }: FetchRequest,
  signal: AbortSignal,
): Promise<Fetched> {
  let next = new URL(url);
  for (let hop = 0; hop <= MAXIMUM_REDIRECTS; hop++) {
    const port = portOf(next);
    if (hop > 0 && !redirectPorts.includes(port)) {
      return { kind: 'failed', stage: 'policy', detail: `a redirect leads to port ${port}, expected ${redirectPorts.join(' or ')}` };
    }
    const dialled = await dialOutside(deps, { host: hostOf(next), port, signal });
    if (dialled.kind === 'failed') return dialled;
    const { socket, address } = dialled;
    try {
      const answer = await get(next, socket, { signal, verified });
      const status = answer.statusCode ?? 0;
      const location = answer.headers.location;
      if (location === undefined || !REDIRECTS.has(status)) {
        const body = await readBody(answer, maximumOctets);
        if (body === null) return { kind: 'failed', stage: 'answer', detail: `the answer is larger than ${maximumOctets} octets` };
        return { kind: 'answered', status, body, url: next.href, address };
      }
      const target = URL.canParse(location, next.href) ? new URL(location, next.href) : null;
      if (
        target === null ||
        (target.protocol !== 'http:' && target.protocol !== 'https:') ||
        target.username !== '' ||
        location.length > MAXIMUM_URL
      ) {
        return { kind: 'failed', stage: 'policy', detail: 'a redirect leads to no http or https URL' };
      }
      next = target;
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'failed';
      return {
        kind: 'failed',
        stage: 'connection',
        detail: signal.aborted ? `no answer of ${address} in time` : `${address} at port ${port}: ${code}`,
      };
    } finally {
      socket.destroy();
    }
  }
  return { kind: 'failed', stage: 'policy', detail: `more than ${MAXIMUM_REDIRECTS} redirects` };
}

async function get(
  url: URL,
  socket: Socket,
  { signal, verified }: { readonly signal: AbortSignal; readonly verified: FetchRequest['verified'] },
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const host = hostOf(url);
  const name = isIP(host) === 0 ? { servername: host } : {};
  const anchors = verified === undefined || verified.anchorsPem === null ? {} : { ca: verified.anchorsPem };
  const judged = { rejectUnauthorized: verified !== undefined, minVersion: 'TLSv1.2', ...anchors } as const;
  const stream = url.protocol === 'https:' ? tlsConnect({ socket, host, ...judged, ...name }) : socket;
  const request = httpRequest(
    {
      createConnection: () => stream,
      path: `${url.pathname}${url.search}`,
      headers: { host: url.host, 'user-agent': 'countersign', accept: '*/*', connection: 'close' },
      maxHeaderSize: MAXIMUM_HEADERS,
      signal,
    },
    resolve,
  );
  request.on('error', reject);
  request.end();
  return promise;
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const MAXIMUM_REDIRECTS = 10;
const MAXIMUM_URL = 2_000;
const MAXIMUM_HEADERS = 16_384;
