/** Records of a TLS 1.2 server's flight, made by hand (RFC 5246 sections 6.2.1 and 7.4). */

export const serverHello = message(2, Buffer.concat([Buffer.of(3, 3), Buffer.alloc(32), Buffer.of(0, 0xc0, 0x2b, 0)]));
/** Asks for ECDSA with P-256 and SHA-256, of any authority. */
export const certificateRequest = message(13, Buffer.of(1, 64, 0, 2, 4, 3, 0, 0));
export const serverHelloDone = message(14, Buffer.alloc(0));
export const changeCipherSpec = record(20, Buffer.of(1));
/** handshake_failure. */
export const alertRecord = record(21, Buffer.of(2, 40));

/** A Certificate message with these certificates, DER or not. */
export function certificateMessage(...certificates: readonly Uint8Array[]): Buffer {
  const list = Buffer.concat(certificates.flatMap((der) => [length24(der.length), der]));
  return message(11, Buffer.concat([length24(list.length), list]));
}

export function handshakeRecord(...messages: readonly Buffer[]): Buffer {
  return record(22, Buffer.concat(messages));
}

function message(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type), length24(body.length), body]);
}

function record(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type, 3, 3, body.length >> 8, body.length & 255), body]);
}

function length24(length: number): Buffer {
  return Buffer.of(length >> 16, (length >> 8) & 255, length & 255);
}
