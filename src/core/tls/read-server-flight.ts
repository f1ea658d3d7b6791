/** A handshake message of a server, without its header. */
export type HandshakeMessage = { readonly type: number; readonly body: Uint8Array };

/** What a server's first octets say in the clear; what is encrypted ends it. */
export type ServerFlight = {
  readonly messages: readonly HandshakeMessage[];
  /** AlertDescription, or null. */
  readonly alert: number | null;
  /** False as soon as something cannot be a record of TLS. */
  readonly isTls: boolean;
};

/** ServerHello or HelloRetryRequest. */
export type ServerHello = {
  /** The negotiated version: selected_version, or else the legacy one. */
  readonly version: number;
  /** HelloRetryRequest: the server would go on with `group` (RFC 8446 section 4.1.4). */
  readonly isRetry: boolean;
  readonly suite: number;
  readonly compression: number;
  /** selected_group or the group of the server's share; null before TLS 1.3. */
  readonly group: number | null;
  readonly extensions: ReadonlyMap<number, Uint8Array>;
};

/** What ServerKeyExchange says of an ephemeral key, and how it is signed; each null where it says nothing. */
export type ServerKeyExchange = { readonly group: number | null; readonly primeBits: number | null; readonly scheme: number | null };

/** A certificate of the server's Certificate message with its stapled OCSP response (RFC 8446 section 4.4.2.1). */
export type ServedCertificate = { readonly der: Uint8Array; readonly staple: Uint8Array | null };

/** Reads records until one is encrypted or cut (RFC 5246 section 6.2.1). */
export function readServerFlight(octets: Uint8Array): ServerFlight {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < octets.length;) {
    const type = octets[at]!;
    const major = octets[at + 1] ?? 3;
    if (type < CHANGE_CIPHER_SPEC || type > APPLICATION_DATA || major !== 3) return { ...messagesOf(parts), alert: null, isTls: false };
    if (at + RECORD_HEADER > octets.length) break;
    const end = at + RECORD_HEADER + uint16At(octets, at + 3);
    if (end > octets.length || type === CHANGE_CIPHER_SPEC || type === APPLICATION_DATA) break;
    const fragment = octets.subarray(at + RECORD_HEADER, end);
    if (type === ALERT) return { ...messagesOf(parts), alert: fragment[1] ?? 0, isTls: true };
    parts.push(fragment);
    at = end;
  }
  return { ...messagesOf(parts), alert: null, isTls: true };
}

/** The whole messages in these octets (RFC 8446 section 4). */
export function splitMessages(octets: Uint8Array): readonly HandshakeMessage[] {
  const messages: HandshakeMessage[] = [];
  for (let at = 0; at + MESSAGE_HEADER <= octets.length;) {
    const end = at + MESSAGE_HEADER + ((octets[at + 1]! << 16) | uint16At(octets, at + 2));
    if (end > octets.length) break;
    messages.push({ type: octets[at]!, body: octets.subarray(at + MESSAGE_HEADER, end) });
    at = end;
  }
  return messages;
}

/** Null: it is none. */
export function readServerHello(body: Uint8Array): ServerHello | null {
  const cursor = new Cursor(body);
  const legacyVersion = cursor.uint(2);
  const random = cursor.take(32);
  cursor.vector(1);
  const suite = cursor.uint(2);
  const compression = cursor.uint(1);
  const extensions = readExtensions(cursor.done ? new Uint8Array() : cursor.vector(2));
  if (cursor.failed || extensions === null) return null;
  const selected = extensions.get(SUPPORTED_VERSIONS);
  const share = extensions.get(KEY_SHARE);
  return {
    version: selected?.length === 2 ? uint16At(selected, 0) : legacyVersion,
    isRetry: RETRY_RANDOM.equals(random),
    suite,
    compression,
    group: share !== undefined && share.length >= 2 ? uint16At(share, 0) : null,
    extensions,
  };
}

/** The Certificate message of this version; what is cut is left out. */
export function readServedCertificates(body: Uint8Array, form: 'tls-1.2' | 'tls-1.3'): readonly ServedCertificate[] {
  const cursor = new Cursor(body);
  if (form === 'tls-1.3') cursor.vector(1);
  const list = new Cursor(cursor.vector(3));
  const served: ServedCertificate[] = [];
  while (!list.done && served.length < MAXIMUM_CERTIFICATES) {
    const der = list.vector(3);
    const extensions = form === 'tls-1.3' ? readExtensions(list.vector(2)) : null;
    if (list.failed) break;
    served.push({ der, staple: readStatus(extensions?.get(STATUS_REQUEST)) });
  }
  return served;
}

/** CertificateStatus with an OCSP response (RFC 6066 section 8). */
export function readStatus(status: Uint8Array | undefined): Uint8Array | null {
  if (status === undefined) return null;
  const cursor = new Cursor(status);
  const type = cursor.uint(1);
  const response = cursor.vector(3);
  return cursor.failed || type !== OCSP_STATUS ? null : response;
}

/** Of an ephemeral exchange as the suite's name tells it (RFC 8422 section 5.4, RFC 5246 section 7.4.3). */
export function readServerKeyExchange(body: Uint8Array, suiteName: string, version: number): ServerKeyExchange {
  const cursor = new Cursor(body);
  const isCurve = suiteName.startsWith('TLS_ECDH');
  let group: number | null = null;
  let primeBits: number | null = null;
  if (isCurve) {
    if (cursor.uint(1) !== NAMED_CURVE) return { group, primeBits, scheme: null };
    group = cursor.uint(2);
    cursor.vector(1);
  } else {
    primeBits = bitLength(cursor.vector(2));
    cursor.vector(2);
    cursor.vector(2);
  }
  const isSigned = version === TLS_12 && !suiteName.includes('_anon_') && !cursor.done;
  const scheme = isSigned ? cursor.uint(2) : null;
  return cursor.failed ? { group: null, primeBits: null, scheme: null } : { group, primeBits, scheme };
}

/** The protocol that ALPN chose, of the extensions of ServerHello or EncryptedExtensions (RFC 7301 section 3.1). */
export function chosenProtocol(extensions: ReadonlyMap<number, Uint8Array>): string | null {
  const chosen = extensions.get(ALPN);
  if (chosen === undefined) return null;
  const cursor = new Cursor(new Cursor(chosen).vector(2));
  const name = cursor.vector(1);
  return cursor.failed ? null : Buffer.from(name).toString('latin1');
}

/** The extensions of EncryptedExtensions, or null where they are malformed. */
export function readEncryptedExtensions(body: Uint8Array): ReadonlyMap<number, Uint8Array> | null {
  const cursor = new Cursor(body);
  const extensions = readExtensions(cursor.vector(2));
  return cursor.failed ? null : extensions;
}

function messagesOf(parts: readonly Uint8Array[]): { readonly messages: readonly HandshakeMessage[] } {
  return { messages: splitMessages(parts.length === 1 ? parts[0]! : Buffer.concat(parts)) };
}

function readExtensions(octets: Uint8Array): ReadonlyMap<number, Uint8Array> | null {
  const cursor = new Cursor(octets);
  const extensions = new Map<number, Uint8Array>();
  while (!cursor.done && !cursor.failed) extensions.set(cursor.uint(2), cursor.vector(2));
  return cursor.failed ? null : extensions;
}

function bitLength(octets: Uint8Array): number {
  const first = octets.findIndex((octet) => octet !== 0);
  return first === -1 ? 0 : (octets.length - first) * 8 - Math.clz32(octets[first]!) + 24;
}

function uint16At(octets: Uint8Array, at: number): number {
  return (octets[at]! << 8) | octets[at + 1]!;
}

/** Reads forward; past the end it gives nothing, and has failed. */
class Cursor {
  readonly #octets: Uint8Array;
  #at = 0;
  failed = false;

  constructor(octets: Uint8Array) {
    this.#octets = octets;
  }

  get done(): boolean {
    return this.failed || this.#at === this.#octets.length;
  }

  take(length: number): Uint8Array {
    if (this.failed || this.#at + length > this.#octets.length) {
      this.failed = true;
      return new Uint8Array(length > MAXIMUM_FIELD ? 0 : length);
    }
    return this.#octets.subarray(this.#at, (this.#at += length));
  }

  uint(octets: 1 | 2 | 3): number {
    return this.take(octets).reduce((value, octet) => (value << 8) | octet, 0);
  }

  vector(lengthOctets: 1 | 2 | 3): Uint8Array {
    return this.take(this.uint(lengthOctets));
  }
}

/** Types of the messages that a reader of flights looks for. */
export const messageTypes = {
  serverHello: 2,
  encryptedExtensions: 8,
  certificate: 11,
  serverKeyExchange: 12,
  certificateRequest: 13,
  serverHelloDone: 14,
  certificateVerify: 15,
  certificateStatus: 22,
} as const;

export const serverExtensions = { sessionTicket: 35, renegotiationInfo: 0xff01, extendedMasterSecret: 23 } as const;

const CHANGE_CIPHER_SPEC = 20;
const ALERT = 21;
const APPLICATION_DATA = 23;
const RECORD_HEADER = 5;
const MESSAGE_HEADER = 4;
const STATUS_REQUEST = 5;
const OCSP_STATUS = 1;
const ALPN = 16;
const SUPPORTED_VERSIONS = 43;
const KEY_SHARE = 51;
const NAMED_CURVE = 3;
const TLS_12 = 0x0303;
/** No honest chain is longer. */
const MAXIMUM_CERTIFICATES = 20;
/** Nothing that is asked for by length alone, beyond an integer or a random, is made up. */
const MAXIMUM_FIELD = 32;
/** SHA-256 of "HelloRetryRequest" (RFC 8446 section 4.1.3). */
const RETRY_RANDOM = Buffer.from('cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c', 'hex');
