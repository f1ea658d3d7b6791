import { randomBytes } from 'node:crypto';
import { PROBE_PATH } from '../../core/findings/drill-kind.ts';
import {
  CLIENT_PREFACE,
  encodeFields,
  encodeFrame,
  encodeSettings,
  END_HEADERS,
  END_STREAM,
  frameTypes,
  readFrames,
} from '../../core/http2/frame.ts';

/** In which protocol a drill asks for the probe answer. */
export type DrillSpeech = 'http/1.1' | 'h2';

/** What came back of a request. */
export type DrillAnswer = { readonly octetsAnswered: number; readonly statusLine: string };

export type DrillRequest = {
  readonly octets: Buffer;
  /** Takes what comes back; true when the answer is whole and the connection can be closed. */
  take(chunk: Buffer): boolean;
  read(): DrillAnswer;
};

/** The request for the probe answer. A nonce stands within its first 64 octets, so that prober and proxy know a connection in the clear by them. */
export function makeDrillRequest(speech: DrillSpeech, host: string): DrillRequest {
  return speech === 'h2' ? makeHttp2Request(host) : makeHttp1Request(host);
}

function makeHttp1Request(host: string): DrillRequest {
  let octets = 0;
  let text = '';
  return {
    octets: Buffer.from(`GET ${PROBE_PATH}?n=${randomBytes(12).toString('hex')} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`),
    take(chunk) {
      octets += chunk.length;
      if (text.length < MAXIMUM_KEPT) text += chunk.toString('latin1', 0, MAXIMUM_KEPT - text.length);
      return isWhole(text, octets);
    },
    read: () => ({ octetsAnswered: octets, statusLine: text.split('\r\n', 1)[0]!.slice(0, 100) }),
  };
}

/** True if nothing can follow: a proxy that lingers before it closes has no more to say. Of an answer without a length only its end tells. */
function isWhole(text: string, octets: number): boolean {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return false;
  const length = /\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n/i.exec(text.slice(0, end + 2))?.[1];
  return length !== undefined && octets >= end + '\r\n\r\n'.length + Number(length);
}

function makeHttp2Request(host: string): DrillRequest {
  let rest: Uint8Array = Buffer.alloc(0);
  let octets = 0;
  let statusLine = '';
  const nonce = randomBytes(12);
  // Settings that nobody knows are ignored (RFC 9113 section 6.5.2), so their values can carry it.
  const settings = encodeSettings([0, 1, 2].map((index) => [UNKNOWN_SETTING + index, nonce.readUInt32BE(4 * index)] as const));
  const payload = encodeFields([
    [':method', 'GET'],
    [':scheme', 'https'],
    [':path', PROBE_PATH],
    [':authority', host],
  ]);
  return {
    octets: Buffer.concat([
      Buffer.from(CLIENT_PREFACE),
      settings,
      encodeFrame({ type: frameTypes.headers, flags: END_STREAM | END_HEADERS, streamId: 1, payload }),
    ]),
    /** A server may send SETTINGS before it has judged anybody: only what belongs to the call is an answer. */
    take(chunk) {
      const read = readFrames(rest.length === 0 ? chunk : Buffer.concat([rest, chunk]));
      rest = read.rest.length > MAXIMUM_FRAME ? Buffer.alloc(0) : read.rest;
      let isOver = read.rest.length > MAXIMUM_FRAME;
      for (const { type, flags, streamId, payload: body } of read.frames) {
        if (type === frameTypes.goaway || type === frameTypes.rstStream) isOver = true;
        if (streamId !== 1 || (type !== frameTypes.headers && type !== frameTypes.data)) continue;
        octets += body.length;
        if (type === frameTypes.headers && statusLine === '') statusLine = body[0] === INDEXED_STATUS_200 ? 'HTTP/2 200' : 'HTTP/2';
        if ((flags & END_STREAM) !== 0) isOver = true;
      }
      return isOver;
    },
    read: () => ({ octetsAnswered: octets, statusLine }),
  };
}

const MAXIMUM_KEPT = 4_096;
/** SETTINGS_MAX_FRAME_SIZE of a client that says nothing, and the head. */
const MAXIMUM_FRAME = 16_384 + 9;
/** In the range that RFC 9113 section 11.3 leaves to experiments. */
const UNKNOWN_SETTING = 0xf0c0;
/** RFC 7541 appendix A, as an indexed field. */
const INDEXED_STATUS_200 = 0x88;
