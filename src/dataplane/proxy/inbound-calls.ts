import type { Socket } from 'node:net';
import { type PortDeps, recordRefusal } from '../tls/port-deps.ts';
import { type CallEnd, forwardHttp, type HttpHop, refuseCall } from './http-forward.ts';
import { type HttpFeed, makeHttpFeed } from './http-server.ts';
import { forwardUpgrade } from './http-upgrade.ts';
import { judgeConnection, modeFor, type Verdict } from '../tls/judge-connection.ts';
import type { InboundSettings } from '../tls/proxy-settings.ts';
import type { ReceiverConnection } from '../tls/receiver-connection.ts';
import type { Upstream } from './upstream.ts';

export type InboundCallsOptions = {
  readonly deps: PortDeps;
  readonly settings: () => InboundSettings;
  readonly upstream: () => Upstream;
  readonly connectionOf: (socket: Socket) => ReceiverConnection | undefined;
};

/** The HTTP calls on accepted connections. Each one is judged anew: what was allowed at the handshake may be revoked since. */
export function makeInboundCalls(options: InboundCallsOptions): HttpFeed {
  const { deps, settings, connectionOf } = options;
  return makeHttpFeed({
    onRequest(request, response) {
      const connection = connectionOf(request.socket);
      if (connection === undefined) return void request.socket.destroy();
      if (connection.calls >= MAXIMUM_PIPELINED) return void cutGreedy(deps, connection);
      const verdict = admitCall(options, connection);
      if (verdict === null) return refuseCall(response, 403, true);
      connection.beginCall();
      response.once('close', () => connection.endCall());
      forwardHttp(request, response, hopOf(options, connection, verdict));
    },
    onUpgrade(request, stream, head) {
      const connection = connectionOf(request.socket);
      const verdict = connection === undefined ? null : admitCall(options, connection);
      if (connection === undefined || verdict === null) return void stream.destroy();
      connection.beginCall();
      stream.once('close', () => connection.endCall());
      forwardUpgrade(request, stream, head, hopOf(options, connection, verdict));
    },
    onBroken(socket, reason) {
      const connection = connectionOf(socket);
      if (connection === undefined) return;
      const facts = { ...refusalFacts(settings(), connection), reason };
      if (modeFor(connection.peer, settings()) === 'enforce') recordRefusal(deps, facts);
      else countCall(deps, connection, { kind: 'failed', reason }, ACCEPTED);
    },
  });
}

/** The verdict on one more call of this connection; null if it was refused, which is recorded. */
function admitCall({ deps, settings }: InboundCallsOptions, connection: ReceiverConnection): Verdict | null {
  const rules = settings();
  const verdict = judgeConnection(deps.clock.now(), connection.peer, rules, deps.live.revoked);
  if (verdict.kind !== 'refuse') return verdict;
  // The mode rose: calls go on while the connection drains, and count as what they are. Revocation knows no grace.
  const isRevocation = verdict.reason === 'revoked' || verdict.reason === 'suspended';
  if (!isRevocation && connection.isInGrace()) return { kind: 'would-refuse', reason: verdict.reason };
  recordRefusal(deps, { ...refusalFacts(rules, connection), reason: verdict.reason });
  return null;
}

/** Without this bound one connection could take every connection to the service, and fill the memory with calls that wait for one. */
function cutGreedy(deps: PortDeps, connection: ReceiverConnection): void {
  connection.socket.destroy();
  countCall(deps, connection, { kind: 'failed', reason: 'limit-exceeded' }, ACCEPTED);
}

function hopOf({ deps, upstream }: InboundCallsOptions, connection: ReceiverConnection, verdict: Verdict): HttpHop {
  const begunAt = performance.now();
  return {
    upstream,
    addedHeaders: provesIdentity(verdict) ? connection.identityHeaders : [],
    stripIdentity: true,
    isRetiring: () => connection.isRetiring || deps.clock.now() >= connection.retireAt,
    explainsFailures: false,
    stalledMs: deps.limits.stalledMs,
    onEnd(end) {
      if (end.kind !== 'left') countCall(deps, connection, end, verdict);
      else if (performance.now() - begunAt > PATIENT_MS) countCall(deps, connection, { kind: 'failed', reason: 'timeout' }, verdict);
    },
  };
}

/** A would-be refusal for what the certificate itself is, is no proof; one for who may call is. */
function provesIdentity(verdict: Verdict): boolean {
  return verdict.kind === 'accept' || verdict.reason === 'wrong-identity';
}

function countCall({ counters, live }: PortDeps, connection: ReceiverConnection, end: CallEnd, verdict: Verdict): void {
  const { endpointId, caller, channel } = connection;
  const failed = end.kind === 'failed' ? end.reason : null;
  counters.count({
    side: 'receiver',
    endpointId,
    caller,
    generation: live.generation,
    channel,
    unit: 'call',
    outcome: failed !== null ? 'failed' : verdict.kind === 'accept' ? 'accepted' : 'would-refuse',
    reason: failed ?? (verdict.kind === 'accept' ? null : verdict.reason),
  });
}

function refusalFacts({ endpointName }: InboundSettings, connection: ReceiverConnection) {
  const { endpointId, peer, firstOctetsSha256, remote, octetsForwarded } = connection;
  return { endpointId, endpointName, peer, firstOctetsSha256, remote, octetsForwarded, unit: 'call' } as const;
}

const ACCEPTED: Verdict = { kind: 'accept' };
/** A caller that leaves sooner changed its mind; one that leaves later gave up waiting. */
const PATIENT_MS = 2_000;
/** Hardly a client pipelines at all, and those that do send a few calls ahead. */
const MAXIMUM_PIPELINED = 32;
