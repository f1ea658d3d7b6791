import { constants, type ServerHttp2Stream } from 'node:http2';
import type { AnswerRules } from '../tls/answer-rules.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';

export type OwnAnswer = {
  readonly status: 400 | 401 | 403 | 413 | 421 | 429 | 502 | 503 | 504;
  /** A caller of gRPC reads its own status only (gRPC over HTTP/2, Responses). */
  readonly isGrpc: boolean;
  /** Said to our own service only, never to a peer. */
  readonly reason: RefusalReason | null;
  readonly rules: AnswerRules | null;
  /** Of WWW-Authenticate. */
  readonly challenge?: string | null;
};

/** An answer of the proxy itself, without a body: for gRPC one of trailers only. */
export function answerHttp2(stream: ServerHttp2Stream, { status, isGrpc, reason, rules, challenge = null }: OwnAnswer): void {
  if (stream.closed || stream.destroyed || stream.headersSent) return;
  const later = status === 429 ? { 'retry-after': '1' } : {};
  const explained = {
    ...later,
    ...fieldsOf(rules),
    ...(challenge === null ? {} : { 'www-authenticate': challenge }),
    ...(reason === null ? {} : { 'countersign-failure': reason }),
  };
  const headers = isGrpc
    ? {
        ':status': 200,
        'content-type': 'application/grpc',
        'grpc-status': grpcStatuses[status],
        'grpc-message': messages[status],
        ...explained,
      }
    : { ':status': status, ...explained };
  stream.respond(headers, { endStream: true, sendDate: false } as object);
}

/** For answers of ours as node:http2 takes them. */
export function fieldsOf(rules: AnswerRules | null): { readonly [name: string]: string } {
  const added = rules?.added ?? [];
  return Object.fromEntries(added.flatMap((name, at) => (at % 2 === 0 ? [[name, added[at + 1]!]] : [])));
}

/** The answer is whole before the request is: what still comes of it is thrown away, for a while (RFC 9113 section 8.1). */
export function dropBody(stream: ServerHttp2Stream): void {
  stream.resume();
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), LATE_BODY_MS).unref();
  stream.once('close', () => clearTimeout(timer));
}

/** INTERNAL, PERMISSION_DENIED, UNAVAILABLE: what gRPC's own table makes of the status, but for a time limit of ours, which is no deadline. */
const grpcStatuses = { 400: 13, 401: 16, 403: 7, 413: 8, 421: 7, 429: 8, 502: 14, 503: 14, 504: 14 } as const;
const messages = {
  400: 'malformed request',
  401: 'no good token',
  403: 'not allowed',
  413: 'too large',
  421: 'not allowed for this host',
  429: 'too many calls',
  502: 'the next hop broke',
  503: 'the next hop is away',
  504: 'the next hop is late',
} as const;
const LATE_BODY_MS = 5_000;
