import { constants } from 'node:http2';
import type { Socket } from 'node:net';
import type { AnswerRules } from '../tls/answer-rules.ts';
import { Http2CallRequest } from '../tls/http2-call-request.ts';
import { BodyTurns } from './body-turns.ts';
import type { CallDenial, CallGate } from './call-gate.ts';
import { answerHttp2, dropBody } from './http2-answer.ts';
import { forwardHttp2 } from './http2-forward.ts';
import { isGrpcType } from './http2-headers.ts';
import { resetStream } from './http2-reset.ts';
import { type Http2Handlers, type Http2Request, serveHttp2 } from './http2-session.ts';
import { forwardHttp2ToHttp1 } from './http2-to-http1.ts';

/** A connection of HTTP/2 whose calls are served. */
export type Http2Calls = {
  /** Takes no further call and says so at once; calls under way end for themselves (RFC 9113 section 6.8). */
  drain(): void;
};

/** What the next hop speaks. */
export type Http2Next = 'h2' | 'http/1.1';

/** Serves the calls of a connection that speaks HTTP/2; each goes through the gate by itself. */
export function serveHttp2Calls(socket: Socket, gate: CallGate, next: Http2Next = 'h2'): Http2Calls {
  // It may have gone between its verdict and this; node:http2 throws at it.
  if (socket.destroyed) return { drain() {} };
  const forward = next === 'h2' ? forwardHttp2 : forwardHttp2ToHttp1;
  const turns = new BodyTurns();
  const handlers: Http2Handlers = {
    onRequest(request) {
      const hop = gate.admit(new Http2CallRequest(request.raw));
      if (hop.kind === 'denied') {
        if (gate.isSilent) resetStream(request.stream, constants.NGHTTP2_CANCEL);
        else refuse(request, hop, gate.answers);
        if (hop.closes || gate.isSilent) session.close();
        return;
      }
      if (hop.isRetiring()) session.close();
      forward(request, hop, turns);
      request.stream.once('close', () => hop.onClose());
    },
    onBroken: (reason) => gate.onBroken(reason),
  };
  const session = serveHttp2(socket, handlers, { allowsExtendedConnect: next === 'http/1.1' });
  return { drain: () => session.close() };
}

function refuse({ stream, raw, isWhole }: Http2Request, { status, challenge }: CallDenial, rules: AnswerRules | null): void {
  const isGrpc = raw.some((name, at) => at % 2 === 0 && name === 'content-type' && isGrpcType(raw[at + 1]!));
  answerHttp2(stream, { status, isGrpc, reason: null, rules, challenge });
  if (!isWhole) dropBody(stream);
}
