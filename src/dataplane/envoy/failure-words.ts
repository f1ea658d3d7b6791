import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { isRefusalReason } from '../../core/tls/refusal-reason.ts';
import type { CallFacts, ConnectionFacts, LogFacts } from './log-entry.ts';

/** Why a handshake with a caller broke, as far as Envoy's text says; what a certificate is, is judged by itself. */
export function handshakeReason({
  handshakeFailure,
  terminationDetails,
}: Pick<LogFacts, 'handshakeFailure' | 'terminationDetails'>): RefusalReason {
  if (/timeout/i.test(`${terminationDetails} ${handshakeFailure}`)) return 'timeout';
  if (/PEER_DID_NOT_RETURN_A_CERTIFICATE/.test(handshakeFailure)) return 'no-certificate';
  // So the limit of connections says it before a handshake.
  if (/CONNECTION_REJECTED/.test(handshakeFailure)) return 'limit-exceeded';
  if (isOfVersion(handshakeFailure)) return 'tls-version';
  return certificateReason(handshakeFailure) ?? 'tls-malformed';
}

/** Why a connection that only passes through did not come to its endpoint, by a rule of the port; null if none refused it. */
export function passingRefusal({
  chain,
  flags,
  handshakeFailure,
  terminationDetails,
}: Pick<LogFacts, 'chain' | 'flags' | 'handshakeFailure' | 'terminationDetails'>): RefusalReason | null {
  // What is no TLS names nobody.
  if (chain === null) return flags.noRouteFound !== true ? null : handshakeFailure === '' ? 'unknown-server-name' : 'plaintext';
  return /unknown-server-name/.test(terminationDetails) ? 'unknown-server-name' : null;
}

/** Why a call did not get through to the next hop; null if it did, whatever was answered. */
export function upstreamReason({ flags, status, upstreamFailure, routeName }: CallFacts): RefusalReason | null {
  // Nobody is called whose identity is suspended.
  if (routeName === 'suspended') return 'suspended';
  if (flags.upstreamConnectionFailure === true) return connectReason(upstreamFailure);
  if (flags.upstreamRequestTimeout === true || flags.streamIdleTimeout === true || flags.durationTimeout === true) return 'timeout';
  if (flags.upstreamOverflow === true) return 'limit-exceeded';
  if (flags.noHealthyUpstream === true || flags.noClusterFound === true || flags.noRouteFound === true) return 'upstream-unreachable';
  if (flags.upstreamConnectionTermination === true || flags.upstreamRemoteReset === true || flags.upstreamProtocolError === true)
    return upstreamFailure === '' ? 'upstream-broken' : connectReason(upstreamFailure);
  // Whoever waited long gave up waiting.
  return isGivenUp({ flags, status }) ? 'timeout' : null;
}

/** Why a stream of octets did not come to its next hop; null if it did, however it ended. */
export function streamReason(facts: ConnectionFacts): RefusalReason | null {
  const { upstreamConnectionFailure, noHealthyUpstream, noClusterFound, upstreamOverflow } = facts.flags;
  if (![upstreamConnectionFailure, noHealthyUpstream, noClusterFound, upstreamOverflow].includes(true)) return null;
  return upstreamReason({ ...facts, call: '', status: 0, details: '' });
}

/** True of a call that its caller gave up before there was an answer, so soon that it had changed its mind. */
export function hasLeft({ flags, status, startedAt, endedAt }: CallFacts): boolean {
  return isGivenUp({ flags, status }) && (endedAt ?? startedAt) - startedAt <= PATIENT_MS;
}

/** Nothing was answered, because nobody waited for it any more. */
function isGivenUp({ flags, status }: Pick<CallFacts, 'flags' | 'status'>): boolean {
  return status === 0 && (flags.downstreamConnectionTermination === true || flags.downstreamRemoteReset === true);
}

function connectReason(text: string): RefusalReason {
  if (text === '') return 'upstream-unreachable';
  if (/timeout/i.test(text)) return 'timeout';
  // An alert is the server's word on us: what it holds against us it tells its own control plane.
  if (/ALERT/.test(text)) return isOfVersion(text) ? 'tls-version' : 'upstream-broken';
  if (!/TLS_error/.test(text)) return 'upstream-unreachable';
  if (isOfVersion(text)) return 'tls-version';
  return certificateReason(text) ?? 'tls-malformed';
}

/** Why Envoy refused a call itself: the name of the rule that matched, or a limit; null if it did not. */
export function callRefusal({ details, flags, status }: CallFacts): RefusalReason | null {
  const word = /^rbac_access_denied(?:_matched_policy\[(.*)\])?$/.exec(details);
  // Whatever the rule is called, it refused.
  if (word !== null) return isRefusalReason(word[1] ?? '') ? (word[1] as RefusalReason) : 'wrong-identity';
  if (flags.rateLimited === true || details === 'local_rate_limited') return 'limit-exceeded';
  if (details === 'request_payload_too_large') return 'body-too-large';
  if (flags.overloadManager === true) return 'limit-exceeded';
  if (flags.downstreamProtocolError === true || (status === 400 && /^http1?\.?/.test(details))) return 'request-malformed';
  return null;
}

function certificateReason(text: string): RefusalReason | null {
  return words.find(([pattern]) => pattern.test(text))?.[1] ?? null;
}

function isOfVersion(text: string): boolean {
  return /UNSUPPORTED_PROTOCOL|WRONG_VERSION|PROTOCOL_VERSION|NO_SUPPORTED_VERSIONS|INAPPROPRIATE_FALLBACK/.test(text);
}

/** Envoy joins BoringSSL's words by underscores in the log. */
const words: readonly (readonly [RegExp, RefusalReason])[] = [
  [/certificate[_ ]has[_ ]expired|CERTIFICATE_EXPIRED/i, 'expired'],
  [/not[_ ]yet[_ ]valid/i, 'not-yet-valid'],
  [/certificate[_ ]revoked/i, 'revoked'],
  [/unsupported[_ ](?:or[_ ]invalid[_ ])?(?:certificate[_ ])?purpose|unsuitable[_ ]certificate[_ ]purpose/i, 'wrong-usage'],
  [/SAN[_ ]matcher|subject[_ ]alt|verify[_ ]SAN/i, 'wrong-identity'],
  [/local[_ ]issuer|self[_-]signed|unknown[_ ]ca|untrusted/i, 'unknown-authority'],
  [/CERTIFICATE_VERIFY_FAILED/, 'chain-invalid'],
];
/** As the native proxy has it: who leaves later gave up waiting. */
const PATIENT_MS = 2_000;
