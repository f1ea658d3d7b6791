import { EventEmitter, once } from 'node:events';
import { constants, type Http2Stream } from 'node:http2';

/**
 * Resets a stream of which this side had more to send. `close` of node:http2 would end it before it resets it, and whoever reads would
 * take the half for the whole; what is destroyed is reset only, with CANCEL or INTERNAL_ERROR: no other code can be had that way.
 */
export function resetStream(stream: Http2Stream, code: number): void {
  stream.destroy(code === constants.NGHTTP2_CANCEL ? cancelled : broken);
}

const broken = new Error('the next hop broke off');
/** node:http2 knows a cancellation by a class of error that it does not export. */
const cancelled = (await once(new EventEmitter(), 'never', { signal: AbortSignal.abort() }).catch((error: unknown) => error)) as Error;
