import { connect as tlsConnect, TLSSocket } from 'node:tls';
import { isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { dialOutside } from './dial-outside.ts';
import { getOnce } from './get-once.ts';
import type { NameResolver } from './name-resolver.ts';
import type { OutsidePolicy } from './outside-policy.ts';
import { hostOf, portOf } from './outside-url.ts';
import { readPeerChain } from './peer-chain.ts';

/** The last answer, or why there is none; details are fit to be shown to whoever named the URL. */
export type Fetched =
  | { readonly kind: 'answered'; readonly status: number; readonly body: Buffer; readonly url: string; readonly address: string }
  | { readonly kind: 'failed'; readonly stage: 'dns' | 'policy' | 'connection' | 'answer'; readonly detail: string };

/** Why the server that presented this chain (DER, leaf first) is not the one that was meant; null: it is. Nothing is sent to it before. */
export type JudgeServer = (chain: readonly Uint8Array[]) => string | null;

export type FetchRequest = {
  readonly url: string;
  readonly timeoutMs: number;
  /** A longer body is a failure. */
  readonly maximumOctets: number;
  /** Ports that a redirect may lead to. */
  readonly redirectPorts: readonly number[];
  /** Of https, that the server is the one that the URL names, under these anchors (PEM; null: those that come with Node), or another judge's. Absent: not checked. */
  readonly verified?: { readonly anchorsPem: string | null } | { readonly judge: JudgeServer };
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
      const expected = redirectPorts.length === 0 ? 'none' : redirectPorts.join(' or ');
      return { kind: 'failed', stage: 'policy', detail: `a redirect leads to port ${port}, expected ${expected}` };
    }
    const dialled = await dialOutside(deps, { host: hostOf(next), port, signal });
    if (dialled.kind === 'failed') return dialled;
    const { socket, address } = dialled;
    try {
      const stream = next.protocol === 'https:' ? wrap(next, socket, verified) : socket;
      const objection = verified !== undefined && 'judge' in verified ? await objectionTo(stream, verified.judge) : null;
      if (objection !== null) return { kind: 'failed', stage: 'connection', detail: objection };
      const answer = await getOnce(stream, next, maximumOctets);
      if (answer.kind === 'too-large') {
        return { kind: 'failed', stage: 'answer', detail: `the answer is larger than ${maximumOctets} octets` };
      }
      if (answer.kind === 'body') return { kind: 'answered', status: answer.status, body: answer.body, url: next.href, address };
      const { location } = answer;
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

/** @throws the error of a handshake that broke */
async function objectionTo(stream: Duplex, judge: JudgeServer): Promise<string | null> {
  if (!(stream instanceof TLSSocket)) return 'no TLS, expected https';
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  stream.once('secureConnect', resolve).once('error', reject);
  stream.once('close', () => reject(Object.assign(new Error('the connection was cut off'), { code: 'ECONNRESET' })));
  await promise;
  return judge(readPeerChain(stream));
}

function wrap(url: URL, socket: Socket, verified: FetchRequest['verified']): Duplex {
  const host = hostOf(url);
  const name = isIP(host) === 0 ? { servername: host } : {};
  const named = verified !== undefined && 'anchorsPem' in verified ? verified : null;
  const anchors = named === null || named.anchorsPem === null ? {} : { ca: named.anchorsPem };
  return tlsConnect({ socket, host, rejectUnauthorized: named !== null, minVersion: 'TLSv1.2', ...anchors, ...name });
}

const MAXIMUM_REDIRECTS = 10;
const MAXIMUM_URL = 2_000;
