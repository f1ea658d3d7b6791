import { createDecipheriv, createHmac } from 'node:crypto';
import { type HandshakeMessage, splitMessages } from '../../core/tls/read-server-flight.ts';

/** What the server's handshake said of client certificates. */
export type CertificateDemand = 'requested' | 'none' | 'unknown';

/**
 * Reads from the server's own handshake messages whether it asked for a client certificate.
 * TLS 1.2 sends CertificateRequest in the clear (RFC 5246 section 7.4.4); in TLS 1.3 it is encrypted under the server's
 * handshake traffic secret (RFC 8446 section 4.3.2), which the client's key log gives.
 *
 * @param received the first octets that the server sent
 * @param serverHandshakeSecret SERVER_HANDSHAKE_TRAFFIC_SECRET, or null for TLS 1.2
 * @param suite the IANA name of the negotiated suite
 */
export function readCertificateDemand(received: Buffer, serverHandshakeSecret: Buffer | null, suite: string): CertificateDemand {
  const types = readHandshake(received, serverHandshakeSecret, suite).map(({ type }) => type);
  if (types.includes(CERTIFICATE_REQUEST)) return 'requested';
  return types.includes(CERTIFICATE) ? 'none' : 'unknown';
}

/** The server's handshake messages up to its Finished in TLS 1.3, or up to its ChangeCipherSpec before; parameters as above. */
export function readHandshake(received: Buffer, serverHandshakeSecret: Buffer | null, suite: string): readonly HandshakeMessage[] {
  const cipher = suites[suite];
  const messages: Buffer[] = [];
  let sequence = 0;
  for (const record of records(received)) {
    if (record.type === CHANGE_CIPHER_SPEC && serverHandshakeSecret === null) break;
    if (record.type === HANDSHAKE) messages.push(record.body);
    if (record.type === APPLICATION_DATA && serverHandshakeSecret !== null && cipher !== undefined) {
      const inner = decryptRecord(record, serverHandshakeSecret, cipher, sequence++);
      if (inner === null) break;
      if (inner.type === HANDSHAKE) messages.push(inner.body);
    }
  }
  return splitMessages(Buffer.concat(messages));
}

/** The certificates (DER, leaf first) of a flight in the clear, as TLS 1.2 and older send it; empty for TLS 1.3 (RFC 5246 section 7.4.2). */
export function readClearChain(received: Buffer): Buffer[] {
  const clear = [...records(received)];
  const end = clear.findIndex(({ type }) => type === CHANGE_CIPHER_SPEC);
  const octets = Buffer.concat(
    clear.slice(0, end === -1 ? undefined : end).flatMap(({ type, body }) => (type === HANDSHAKE ? [body] : [])),
  );
  for (let at = 0; at + 4 <= octets.length; at += 4 + octets.readUIntBE(at + 1, 3)) {
    if (octets[at] !== CERTIFICATE) continue;
    const list = octets.subarray(at + 7, at + 4 + octets.readUIntBE(at + 1, 3));
    const chain: Buffer[] = [];
    for (let from = 0; from + 3 <= list.length; from += 3 + list.readUIntBE(from, 3)) {
      chain.push(list.subarray(from + 3, from + 3 + list.readUIntBE(from, 3)));
    }
    return chain;
  }
  return [];
}

type TlsRecord = { readonly type: number; readonly header: Buffer; readonly body: Buffer };
type Cipher = {
  readonly name: 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305';
  readonly keyOctets: number;
  readonly hash: 'sha256' | 'sha384';
};

function* records(octets: Buffer): Generator<TlsRecord> {
  let at = 0;
  while (at + 5 <= octets.length) {
    const length = octets.readUInt16BE(at + 3);
    if (at + 5 + length > octets.length) return;
    yield { type: octets[at]!, header: octets.subarray(at, at + 5), body: octets.subarray(at + 5, at + 5 + length) };
    at += 5 + length;
  }
}

/** RFC 8446 section 5.2: nonce = sequence xor iv, the record header is the additional data, the last non-zero octet the type. */
function decryptRecord(
  record: TlsRecord,
  secret: Buffer,
  { name, keyOctets, hash }: Cipher,
  sequence: number,
): { type: number; body: Buffer } | null {
  const key = expandLabel(secret, 'key', keyOctets, hash);
  const nonce = expandLabel(secret, 'iv', 12, hash);
  nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ sequence) >>> 0, 8);
  try {
    const decipher = createDecipheriv(name as 'aes-128-gcm', key, nonce, { authTagLength: 16 });
    decipher.setAAD(record.header);
    decipher.setAuthTag(record.body.subarray(-16));
    const plain = Buffer.concat([decipher.update(record.body.subarray(0, -16)), decipher.final()]);
    let end = plain.length;
    while (end > 0 && plain[end - 1] === 0) end--;
    return end === 0 ? null : { type: plain[end - 1]!, body: plain.subarray(0, end - 1) };
  } catch {
    // The first record under the next secret ends what this one can open.
    return null;
  }
}

/** HKDF-Expand-Label (RFC 8446 section 7.1) with an empty context. HKDF-Expand alone is one HMAC for these lengths. */
function expandLabel(secret: Buffer, label: string, octets: number, hash: 'sha256' | 'sha384'): Buffer {
  const name = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([Buffer.from([octets >> 8, octets & 255, name.length]), name, Buffer.from([0, 1])]);
  return createHmac(hash, secret).update(info).digest().subarray(0, octets);
}

/** Before TLS 1.3, handshake messages after it are encrypted and look like anything (RFC 5246 section 7.1). */
const CHANGE_CIPHER_SPEC = 20;
const HANDSHAKE = 22;
const APPLICATION_DATA = 23;
const CERTIFICATE = 11;
const CERTIFICATE_REQUEST = 13;
const suites: { readonly [suite: string]: Cipher } = {
  TLS_AES_128_GCM_SHA256: { name: 'aes-128-gcm', keyOctets: 16, hash: 'sha256' },
  TLS_AES_256_GCM_SHA384: { name: 'aes-256-gcm', keyOctets: 32, hash: 'sha384' },
  TLS_CHACHA20_POLY1305_SHA256: { name: 'chacha20-poly1305', keyOctets: 32, hash: 'sha256' },
};
