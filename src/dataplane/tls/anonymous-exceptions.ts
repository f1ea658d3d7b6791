import type { AnonymousException as WireException, ExceptedCall } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { parseDnsName } from '../../core/identity/dns-name.ts';
import {
  isNamedCall,
  isNarrowRange,
  MAXIMUM_ENDPOINT_EXCEPTIONS,
  MAXIMUM_EXCEPTION_CALLS,
  MAXIMUM_EXCEPTION_SOURCES,
} from '../../core/policy/anonymous-exception.ts';
import { Problem } from '../../core/problems/problem.ts';
import { type CallPattern, hostNameOf, parseMethod, parsePathPattern, parsePatternHost } from '../../core/routes/call-pattern.ts';
import { normalPathOf } from '../../core/routes/normal-path.ts';
import { PatternIndex } from '../../core/routes/pattern-index.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type AddressRanges, addressRanges, findBadRange } from './address-ranges.ts';
import type { CallRequest } from './call-request.ts';
import { hasOverride } from './call-override.ts';
import type { Peer } from './peer.ts';

/** Who may come without a certificate, for what, and until when. */
export type AnonymousException = {
  readonly name: string;
  readonly until: Instant;
  readonly holds: AddressRanges;
  /** Lower case; null: plaintext, or TLS that asks for any server. */
  readonly serverName: string | null;
  /** Null of raw TCP. */
  readonly calls: PatternIndex<{ readonly pattern: CallPattern }> | null;
};

/** What is known of a connection before anything was asked on it. */
export type AnonymousOrigin = { readonly peer: Peer; readonly host: string | null; readonly sni: string | null };

/** `ended`: an exception had it, and is over. */
export type ExceptedStanding = { readonly kind: 'excepted' | 'ended'; readonly exception: AnonymousException } | { readonly kind: 'none' };

/**
 * The exceptions of one endpoint; made once of its settings. Only who proves nothing can fall under one: a certificate that is shown and
 * is not good is refused for what it is, whatever was agreed.
 */
export class AnonymousExceptions {
  readonly #exceptions: readonly AnonymousException[];

  /** @throws input-invalid, identity-malformed */
  constructor(wire: readonly WireException[], protocol: 'http' | 'grpc' | 'tcp') {
    if (wire.length > MAXIMUM_ENDPOINT_EXCEPTIONS)
      throw invalid('an endpoint', `${wire.length} exceptions`, `at most ${MAXIMUM_ENDPOINT_EXCEPTIONS}`);
    this.#exceptions = wire.map((exception) => readException(exception, protocol)).toSorted((a, b) => b.until - a.until);
  }

  /** The exception that may cover what this connection asks; of several the one that lasts longest. Null: nothing of it can be covered. */
  ofConnection(now: Instant, origin: AnonymousOrigin): AnonymousException | null {
    return this.#exceptions.find((exception) => exception.until > now && coversOrigin(exception, origin)) ?? null;
  }

  /** The exception of this name, if it may cover the connection now. */
  named(name: string, now: Instant, origin: AnonymousOrigin): AnonymousException | null {
    const found = this.#exceptions.find((exception) => exception.name === name);
    return found !== undefined && found.until > now && coversOrigin(found, origin) ? found : null;
  }

  /** Whether this call is covered. What can be read in two ways, or begins something that is no call, never is. */
  ofCall(now: Instant, origin: AnonymousOrigin, request: CallRequest): ExceptedStanding {
    const found = this.#exceptions.find((exception) => coversOrigin(exception, origin) && coversCall(exception, request));
    if (found === undefined) return NONE;
    return { kind: found.until > now ? 'excepted' : 'ended', exception: found };
  }
}

/** True for plaintext, and for TLS in which no certificate was shown. */
export function isAnonymous({ identity, certificate, offence }: Peer): boolean {
  return identity === null && certificate === null && (offence === 'plaintext' || offence === 'no-certificate');
}

function coversOrigin({ holds, serverName }: AnonymousException, { peer, host, sni }: AnonymousOrigin): boolean {
  if (host === null || !isAnonymous(peer) || !holds(host)) return false;
  return serverName === null || (sni !== null && hostNameOf(sni) === serverName);
}

function coversCall({ calls }: AnonymousException, request: CallRequest): boolean {
  if (calls === null) return false;
  const target = request.target();
  const query = target.indexOf('?');
  // Of several spellings of one path the service behind may tell some apart; the agreed one is enough for an agreed caller.
  if (normalPathOf(target) !== (query === -1 ? target : target.slice(0, query))) return false;
  const { method } = request;
  if (calls.find({ method, host: hostNameOf(request.authority()), target }).kind !== 'rule') return false;
  return !hasOverride(request) && !beginsTunnel(request);
}

/** After an upgrade there are no calls that could be judged (RFC 9110 section 7.8, RFC 8441 section 4). */
function beginsTunnel(request: CallRequest): boolean {
  return request.fields().some((name, at) => at % 2 === 0 && (name === 'upgrade' || name === ':protocol'));
}

function readException({ name, sources, calls, serverName, untilMs }: WireException, protocol: string): AnonymousException {
  const what = `exception ${JSON.stringify(name.slice(0, 100))}`;
  if (!/^[a-z0-9][a-z0-9._-]{0,62}$/.test(name)) throw invalid(what, 'such a name', '1 to 63 of [a-z0-9._-]');
  if (sources.length === 0 || sources.length > MAXIMUM_EXCEPTION_SOURCES)
    throw invalid(what, `${sources.length} sources`, `1 to ${MAXIMUM_EXCEPTION_SOURCES}`);
  const bad = findBadRange(sources) ?? sources.find((range) => !isNarrowRange(range));
  if (bad !== undefined) throw invalid(what, `source ${JSON.stringify(bad.slice(0, 60))}`, 'a range no wider than a site');
  const isStream = protocol === 'tcp';
  if (isStream !== (calls.length === 0) || calls.length > MAXIMUM_EXCEPTION_CALLS)
    throw invalid(what, `${calls.length} calls`, isStream ? 'none at an endpoint of tcp' : `1 to ${MAXIMUM_EXCEPTION_CALLS}`);
  return {
    name,
    until: Number(untilMs),
    holds: addressRanges(sources),
    serverName: serverName === '' ? null : parseDnsName(serverName),
    calls: isStream ? null : new PatternIndex(calls.map((call) => ({ pattern: readCall(what, call) }))),
  };
}

function readCall(what: string, { methods, host, path }: ExceptedCall): CallPattern {
  const pattern = { methods: methods.map(parseMethod), host: parsePatternHost(host), path: parsePathPattern(path) };
  if (!isNamedCall(pattern))
    throw invalid(what, `calls of ${JSON.stringify(path.slice(0, 200))}`, 'methods, and a first segment that is written out');
  return pattern;
}

function invalid(what: string, found: string, expected: string): Problem {
  return new Problem('input-invalid', `Cannot use ${what}: ${found}, expected ${expected}`);
}

const NONE = { kind: 'none' } as const;
