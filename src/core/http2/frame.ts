/** One frame of HTTP/2 (RFC 9113 section 4.1). */
export type Frame = { readonly type: number; readonly flags: number; readonly streamId: number; readonly payload: Uint8Array };

/** What a client begins a connection with (RFC 9113 section 3.4); a frame of SETTINGS comes next. */
export const CLIENT_PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

export const frameTypes = {
  data: 0x0,
  headers: 0x1,
  rstStream: 0x3,
  settings: 0x4,
  ping: 0x6,
  goaway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
} as const;

/** END_STREAM of DATA and HEADERS; in SETTINGS and PING the same bit is ACK. */
export const END_STREAM = 0x1;
export const END_HEADERS = 0x4;
export const PADDED = 0x8;

export function encodeFrame({ type, flags, streamId, payload }: Frame): Buffer {
  const head = Buffer.alloc(HEAD_OCTETS);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** The whole frames at the start of what was received, and what is left; an unfinished frame of any length stays in the rest. */
export function readFrames(received: Uint8Array): { readonly frames: readonly Frame[]; readonly rest: Uint8Array } {
  const frames: Frame[] = [];
  let at = 0;
  while (received.length - at >= HEAD_OCTETS) {
    const head = Buffer.from(received.buffer, received.byteOffset + at, HEAD_OCTETS);
    const end = at + HEAD_OCTETS + head.readUIntBE(0, 3);
    if (end > received.length) break;
    const streamId = head.readUInt32BE(5) & 0x7fff_ffff;
    frames.push({ type: head[3]!, flags: head[4]!, streamId, payload: received.subarray(at + HEAD_OCTETS, end) });
    at = end;
  }
  return { frames, rest: received.subarray(at) };
}

/** SETTINGS (RFC 9113 section 6.5.1) from identifier and value pairs. */
export function encodeSettings(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(6 * settings.length);
  for (const [index, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, 6 * index);
    payload.writeUInt32BE(value, 6 * index + 2);
  }
  return encodeFrame({ type: frameTypes.settings, flags: 0, streamId: 0, payload });
}

/** A field section as literals without indexing and new names (RFC 7541 section 6.2.2): it needs no state of the connection. */
export function encodeFields(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), encodeString(name), encodeString(value)]));
}

/** RFC 7541 section 5.2, without Huffman coding. */
function encodeString(text: string): Buffer {
  const octets = Buffer.from(text, 'latin1');
  return Buffer.concat([encodeInteger(octets.length), octets]);
}

/** RFC 7541 section 5.1 with a prefix of seven bits. */
function encodeInteger(value: number): Buffer {
  if (value < 0x7f) return Buffer.from([value]);
  const octets = [0x7f];
  let left = value - 0x7f;
  for (; left >= 0x80; left >>= 7) octets.push((left & 0x7f) | 0x80);
  return Buffer.from([...octets, left]);
}

const HEAD_OCTETS = 9;
