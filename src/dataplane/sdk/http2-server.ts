import { constants, createServer, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream, type ServerOptions } from 'node:http2';
import { Http2CallRequest } from '../tls/http2-call-request.ts';
import type { ReceiverConnection } from '../tls/receiver-connection.ts';
import type { CallWatch } from './call-watch.ts';
import { guardServer } from './guard-server.ts';
import type { ServicePorts } from './service-ports.ts';

export type Http2ServerOptions = ServerOptions & {
  /** Name of the endpoint that is served, as it was declared. */
  readonly endpoint: string;
};

/**
 * An HTTP/2 server before which the gate of an endpoint stands: `stream` and `request` are calls that may be served.
 * @throws not-found, state-conflict
 */
export function createHttp2Server(ports: ServicePorts, { endpoint, ...options }: Http2ServerOptions): Http2Server {
  const server = createServer({ ...DEFAULTS, ...options });
  let admitted: ReceiverConnection | null = null;
  guardServer(ports, server, {
    endpoint,
    protocols: ['grpc'],
    onAdmitted: (connection) => (admitted = connection),
    judge(event, [session], { watch }) {
      // Node makes the session in the turn in which it is handed the connection.
      if (event === 'session') guardSession(session as ServerHttp2Session, admitted!, watch);
      return true;
    },
  });
  return server;
}

/** Streams are judged where they begin, before the session tells anybody of them. */
function guardSession(session: ServerHttp2Session, connection: ReceiverConnection, watch: CallWatch): void {
  const emit = session.emit.bind(session) as (event: string | symbol, ...args: unknown[]) => boolean;
  connection.announceEndBy(() => session.close());
  session.emit = ((event: string | symbol, ...args: unknown[]): boolean => {
    if (event === 'stream' && !admitStream(watch, connection, args as StreamEvent)) return true;
    return emit(event, ...args);
  }) as ServerHttp2Session['emit'];
}

type StreamEvent = [stream: ServerHttp2Stream, headers: { readonly 'content-type'?: string }, flags: number, raw: readonly string[]];

function admitStream(watch: CallWatch, connection: ReceiverConnection, [stream, headers, , raw]: StreamEvent): boolean {
  const call = watch.begin(connection, stream, new Http2CallRequest(raw));
  if (call.kind === 'denied') {
    // A caller of gRPC reads its own status only (gRPC over HTTP/2, Responses): PERMISSION_DENIED.
    const isGrpc = headers['content-type']?.startsWith('application/grpc') === true;
    const refusal = isGrpc ? { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '7' } : { ':status': call.status };
    stream.on('error', ignore);
    if (call.isSilent) {
      cutStream(stream);
      return false;
    }
    stream.respond(refusal, { endStream: true });
    stream.resume();
    if (call.closes) stream.session?.close();
    return false;
  }
  if (watch.isRetiring(connection)) stream.session?.close();
  stream.once('close', () => {
    if (stream.writableFinished) watch.end(call, null);
    else watch.left(call);
  });
  return true;
}

/** Without an answer; the connection ends with the calls under way on it. */
export function cutStream(stream: ServerHttp2Stream): void {
  const { session } = stream;
  stream.on('error', ignore);
  stream.close(constants.NGHTTP2_CANCEL);
  session?.close();
}

function ignore(): void {}

/** Some streams of one caller at a time; what a reset costs is bounded by Node's own limit (rapid reset, CVE-2023-44487). */
const DEFAULTS: ServerOptions = { settings: { maxConcurrentStreams: 100 }, maxSessionMemory: 10 };
