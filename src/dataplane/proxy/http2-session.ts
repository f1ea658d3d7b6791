import { performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { sensitiveOf } from './http2-headers.ts';
import { CONNECTION_WINDOW_OCTETS, SERVER_SESSION } from './http2-limits.ts';

/** A request as it arrived; `raw` are its header fields as flat name-value pairs. */
export type Http2Request = {
  readonly stream: ServerHttp2Stream;
  readonly raw: readonly string[];
  /** Names of fields that came as never to be indexed (RFC 7541 section 7.1.3). */
  readonly sensitive: readonly string[];
  /** True if neither body nor trailers follow. */
  readonly isWhole: boolean;
};

export type Http2Handlers = {
  onRequest(request: Http2Request): void;
  /** What arrived broke the protocol or passed a limit; the connection is ending. */
  onBroken(reason: RefusalReason): void;
};

/** Speaks HTTP/2 as the server of a connection, once it is known who called; a first part that was read and put back is read again. */
export function serveHttp2(
  socket: Socket,
  handlers: Http2Handlers,
  { allowsExtendedConnect }: { readonly allowsExtendedConnect: boolean },
): ServerHttp2Session {
  // Whoever closes its half in HTTP/2 waits for no answer any more.
  socket.allowHalfOpen = false;
  const session = performServerHandshake(socket, allowsExtendedConnect ? TUNNELLING_SESSION : SERVER_SESSION);
  let streams = 0;
  session.setLocalWindowSize(CONNECTION_WINDOW_OCTETS);
  session.on('stream', (stream, headers, flags, raw: readonly string[]) => {
    streams += 1;
    stream.once('close', () => (streams -= 1));
    stream.on('error', ignore);
    handlers.onRequest({ stream, raw, sensitive: sensitiveOf(headers), isWhole: (flags & END_STREAM) !== 0 });
  });
  session.on('error', (error: NodeJS.ErrnoException) => {
    const reason = reasonOf(error);
    if (reason !== null) handlers.onBroken(reason);
  });
  // Streams may be silent for as long as both ends like; a connection without any may not.
  session.setTimeout(IDLE_MS, () => void (streams === 0 && session.close()));
  return session;
}

/** Null for a connection that only went away. */
function reasonOf({ code = '', message }: NodeJS.ErrnoException): RefusalReason | null {
  if (code === 'ERR_HTTP2_SESSION_ERROR') return null;
  if (code === 'ERR_HTTP2_TOO_MANY_INVALID_FRAMES' || /flood|too many|calm/i.test(message)) return 'limit-exceeded';
  return code.startsWith('ERR_HTTP2_') ? 'request-malformed' : null;
}

function ignore(): void {}

/** WebSockets may be opened by an extended CONNECT (RFC 8441 section 3). */
const TUNNELLING_SESSION = { ...SERVER_SESSION, settings: { ...SERVER_SESSION.settings, enableConnectProtocol: true } };
const END_STREAM = 0x1;
/** Clients of gRPC keep a channel open between calls; longer than ours do, so that they close first. */
const IDLE_MS = 360_000;
