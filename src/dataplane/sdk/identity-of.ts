import type { Mode } from '../../core/policy/mode.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { provesIdentity } from '../tls/admit-call.ts';
import { modeFor, type Verdict } from '../tls/judge-connection.ts';
import type { Channel } from '../tls/peer.ts';
import type { InboundSettings } from '../tls/proxy-settings.ts';
import type { ReceiverConnection } from '../tls/receiver-connection.ts';

/** Who calls, and how the call was judged. */
export type Caller = {
  /** The caller's proved SPIFFE ID; null where nothing is proved, as on plaintext before enforcement. */
  readonly spiffeId: string | null;
  /** How it came: `mtls` only where the certificate proved an identity. */
  readonly channel: Channel;
  readonly endpoint: string;
  /** The mode of the caller's path. */
  readonly mode: Mode;
  /**
   * `would-refuse`: enforcement would have refused the call, for `reason`; `except`: but for the exception named. What is refused never
   * reaches a handler.
   */
  readonly verdict: 'accept' | 'would-refuse' | 'except';
  readonly reason: RefusalReason | null;
  /** Name of the exception under which the call was let in. */
  readonly exception: string | null;
  /** Lower case hex of the certificate's serial number; null without one. */
  readonly serial: string | null;
  readonly resumed: boolean;
};

/** An admitted call or connection, as the servers of this process remember it. */
export type Admitted = {
  readonly kind: 'admitted';
  readonly connection: ReceiverConnection;
  readonly verdict: Verdict;
  readonly settings: InboundSettings;
  /** By `performance.now()`. */
  readonly begunAt: number;
};

/** Remembers for `identityOf` how this request, stream, call or socket was judged. */
export function rememberCall(request: object, admitted: Admitted): void {
  calls.set(request, admitted);
}

/**
 * Who made this call: of a request, HTTP/2 stream, gRPC call or socket that a server of the SDK handed to its handler.
 * @throws TypeError for anything else, because a caller must never be taken for anonymous by mistake
 */
export function identityOf(request: object): Caller {
  // Requests of HTTP/2 stand for a stream, calls of gRPC carry their metadata.
  const { stream, metadata } = request as { readonly stream?: object; readonly metadata?: object };
  const admitted = calls.get(request) ?? calls.get(stream ?? metadata ?? request);
  if (admitted === undefined) throw new TypeError('Cannot tell the caller: no server of countersign-sdk handed out this object');
  const { connection, verdict, settings } = admitted;
  const { peer } = connection;
  return {
    spiffeId: peer.identity !== null && provesIdentity(verdict) ? peer.identity.spiffeId : null,
    channel: peer.channel,
    endpoint: settings.endpointName,
    mode: modeFor(peer, settings),
    verdict: verdict.kind === 'refuse' ? 'would-refuse' : verdict.kind,
    reason: verdict.kind === 'accept' ? null : verdict.reason,
    exception: verdict.kind === 'except' ? verdict.exception : null,
    serial: peer.certificate === null ? null : Buffer.from(peer.certificate.serial).toString('hex'),
    resumed: peer.resumed,
  };
}

const calls = new WeakMap<object, Admitted>();
