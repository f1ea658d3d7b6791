import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Secret } from '../secrets/secret.ts';
import { type Instant, SECOND_MS } from '../time/instant.ts';
import { encodeDomainName, readDomainName } from './domain-name.ts';
import { HEADER_OCTETS, uint16 } from './update-message.ts';

/** The algorithms of RFC 8945 section 6 that are not on their way out. */
export const signatureAlgorithms = { 'hmac-sha256': 'sha256', 'hmac-sha384': 'sha384', 'hmac-sha512': 'sha512' } as const;
export type SignatureAlgorithm = keyof typeof signatureAlgorithms;

/** A key that a DNS server shares with us, under the name and algorithm that it has there. */
export type TransactionKey = { readonly name: string; readonly algorithm: SignatureAlgorithm; readonly secret: Secret<Uint8Array> };

export type SignedMessage = { readonly message: Buffer; readonly mac: Buffer };

/** What an answer is: the server's own, with the error of its TSIG record (0: none), or not. */
export type SignatureVerdict = { readonly kind: 'genuine'; readonly error: number } | { readonly kind: 'forged'; readonly reason: string };

/** Signs a message that has no additional records, by TSIG (RFC 8945 section 5.1). @throws identity-malformed */
export function signMessage(now: Instant, message: Buffer, key: TransactionKey): SignedMessage {
  const fields: Fields = { time: Math.floor(now / SECOND_MS), fudge: FUDGE_SECONDS, error: 0, other: Buffer.alloc(0) };
  const mac = macOf(key, [message], fields);
  const data = Buffer.concat([
    encodeDomainName(key.algorithm),
    timeAndFudge(fields),
    uint16(mac.length),
    mac,
    message.subarray(0, 2),
    uint16(fields.error, 0),
  ]);
  const record = Buffer.concat([encodeDomainName(key.name), uint16(TSIG, ANY, 0, 0, data.length), data]);
  const signed = Buffer.concat([message, record]);
  signed.writeUInt16BE(1, ADDITIONAL_COUNT);
  return { message: signed, mac };
}

/** Judges the answer to a signed message (RFC 8945 sections 5.3 and 5.4): by the same key, over this very request, and of now. */
export function verifyAnswer(now: Instant, answer: Buffer, request: SignedMessage, key: TransactionKey): SignatureVerdict {
  const found = findSignature(answer);
  if (found === null) return { kind: 'forged', reason: 'it is not signed, or malformed' };
  const { start, name, algorithm, mac, fields, originalId } = found;
  if (!name.equals(encodeDomainName(key.name)) || !algorithm.equals(encodeDomainName(key.algorithm)))
    return { kind: 'forged', reason: 'it is signed by another key or algorithm' };
  const bare = Buffer.from(answer.subarray(0, start));
  bare.writeUInt16BE(originalId, 0);
  bare.writeUInt16BE(answer.readUInt16BE(ADDITIONAL_COUNT) - 1, ADDITIONAL_COUNT);
  const expected = macOf(key, [uint16(request.mac.length), request.mac, bare], fields);
  // A truncated MAC (section 5.2.2.1) is one that is easier to guess.
  if (mac.length !== expected.length || !timingSafeEqual(mac, expected)) return { kind: 'forged', reason: 'its signature is wrong' };
  if (Math.abs(now / SECOND_MS - fields.time) > fields.fudge && fields.error !== BADTIME)
    return { kind: 'forged', reason: 'it was signed at another time' };
  return { kind: 'genuine', error: fields.error };
}

/** How RFC 8945 section 3 calls it. */
export function nameOfSignatureError(error: number): string {
  return { 16: 'BADSIG', 17: 'BADKEY', 18: 'BADTIME', 22: 'BADTRUNC' }[error] ?? `code ${error}`;
}

type Fields = { readonly time: number; readonly fudge: number; readonly error: number; readonly other: Buffer };

function macOf({ name, algorithm, secret }: TransactionKey, messages: readonly Buffer[], fields: Fields): Buffer {
  const hmac = createHmac(signatureAlgorithms[algorithm], secret.reveal());
  for (const message of messages) hmac.update(message);
  hmac.update(encodeDomainName(name)).update(uint16(ANY, 0, 0));
  hmac.update(encodeDomainName(algorithm)).update(timeAndFudge(fields));
  return hmac.update(uint16(fields.error, fields.other.length)).update(fields.other).digest();
}

function timeAndFudge({ time, fudge }: Fields): Buffer {
  const octets = Buffer.alloc(8);
  octets.writeUIntBE(time, 0, 6);
  octets.writeUInt16BE(fudge, 6);
  return octets;
}

type FoundSignature = {
  /** Where the record begins: the message ends there for the MAC. */
  readonly start: number;
  readonly name: Buffer;
  readonly algorithm: Buffer;
  readonly mac: Buffer;
  readonly originalId: number;
  readonly fields: Fields;
};

/** The TSIG record, which is the last one and ends the message; null if there is none of this form. */
function findSignature(message: Buffer): FoundSignature | null {
  if (message.length < HEADER_OCTETS) return null;
  const [questions, ...records] = [4, 6, 8, 10].map((at) => message.readUInt16BE(at)) as [number, number, number, number];
  const additional = records[2];
  const total = records.reduce((sum, count) => sum + count, 0);
  if (additional === 0 || questions > MAXIMUM_RECORDS || total > MAXIMUM_RECORDS) return null;
  let at = HEADER_OCTETS;
  for (let index = 0; index < questions; index++) {
    const name = readDomainName(message, at);
    if (name === null) return null;
    at = name.end + 4;
  }
  for (let index = 0; index < total; index++) {
    const name = readDomainName(message, at);
    if (name === null || name.end + 10 > message.length) return null;
    const data = name.end + 10;
    const end = data + message.readUInt16BE(name.end + 8);
    if (end > message.length) return null;
    if (index === total - 1) {
      // What the MAC covers as fixed is demanded as it is fixed (RFC 8945 section 4.2).
      const isFixed =
        message.readUInt16BE(name.end) === TSIG && message.readUInt16BE(name.end + 2) === ANY && message.readUInt32BE(name.end + 4) === 0;
      return isFixed && end === message.length ? readSignature(message, { start: at, name: name.wire, data }) : null;
    }
    at = end;
  }
  return null;
}

function readSignature(
  message: Buffer,
  { start, name, data }: { readonly start: number; readonly name: Buffer; readonly data: number },
): FoundSignature | null {
  const algorithm = readDomainName(message, data);
  if (algorithm === null || algorithm.end + 10 > message.length) return null;
  const at = algorithm.end;
  const macEnd = at + 10 + message.readUInt16BE(at + 8);
  if (macEnd + 6 > message.length) return null;
  const other = message.subarray(macEnd + 6);
  if (message.readUInt16BE(macEnd + 4) !== other.length) return null;
  const fields = { time: message.readUIntBE(at, 6), fudge: message.readUInt16BE(at + 6), error: message.readUInt16BE(macEnd + 2), other };
  return {
    start,
    name,
    algorithm: algorithm.wire,
    mac: message.subarray(at + 10, macEnd),
    originalId: message.readUInt16BE(macEnd),
    fields,
  };
}

const TSIG = 250;
const ANY = 255;
/** What the RFC recommends (section 10): clocks that are further apart are broken. */
const FUDGE_SECONDS = 300;
const BADTIME = 18;
const ADDITIONAL_COUNT = 10;
/** An answer to an update repeats at most what was asked. */
const MAXIMUM_RECORDS = 64;
