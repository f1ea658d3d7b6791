import type { Socket } from 'node:net';
import type { CallGate } from './call-gate.ts';
import { answerHttp2, dropBody } from './http2-answer.ts';
import { forwardHttp2 } from './http2-forward.ts';
import { isGrpcType } from './http2-headers.ts';
import { type Http2Request, serveHttp2 } from './http2-session.ts';

/** A connection of HTTP/2 whose calls are served. */
export type Http2Calls = {
  /** Takes no further call and says so at once; calls under way end for themselves (RFC 9113 section 6.8). */
  drain(): void;
};

/** Serves the calls of a connection that speaks HTTP/2; each goes through the gate by itself. */
export function serveHttp2Calls(socket: Socket, gate: CallGate): Http2Calls {
  const session = serveHttp2(socket, {
    onRequest(request) {
      const hop = gate.admit();
      if (hop === null) {
        refuse(request);
        session.close();
        return;
      }
      if (hop.isRetiring()) session.close();
      forwardHttp2(request, hop);
      request.stream.once('close', () => hop.onClose());
    },
    onBroken: (reason) => gate.onBroken(reason),
  });
  return { drain: () => session.close() };
}

function refuse({ stream, raw, isWhole }: Http2Request): void {
  const isGrpc = raw.some((name, at) => at % 2 === 0 && name === 'content-type' && isGrpcType(raw[at + 1]!));
  answerHttp2(stream, { status: 403, isGrpc, reason: null });
  if (!isWhole) dropBody(stream);
}
