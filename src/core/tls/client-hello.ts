/** What a ClientHello offers, as numbers and texts of the wire; nothing of it is proved. */
export type ClientHello = {
  /** Offered protocol versions, highest preference first: supported_versions, or else the legacy version (RFC 8446 section 4.2.1). */
  readonly versions: readonly number[];
  /** host_name of server_name as sent, ASCII; null when absent (RFC 6066 section 3). */
  readonly sni: string | null;
  /** Protocol names, octets as Latin-1 text (RFC 7301). */
  readonly alpn: readonly string[];
  readonly groups: readonly number[];
  readonly suites: readonly number[];
  /** 32 octets. */
  readonly random: Uint8Array;
  readonly sessionIdLength: number;
  /** A session ticket (TLS 1.2) or pre-shared key (TLS 1.3) is offered. */
  readonly hasTicket: boolean;
  /** How the first ticket offered calls the key that it is sealed under: its first 16 octets, by custom (RFC 5077 section 4); else null. */
  readonly ticketKeyName: Uint8Array | null;
  /** status_request for OCSP: the client wants a stapled answer (RFC 6066 section 8). */
  readonly asksForStatus: boolean;
  /** encrypted_client_hello is there, in earnest or as grease: then `sni` may be the name of the outer hello only (RFC 9849). */
  readonly hasEncryptedHello: boolean;
};

/** `length` counts the octets of the records that the message lies in. */
export type ClientHelloReading =
  | { readonly kind: 'complete'; readonly hello: ClientHello; readonly length: number }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'malformed'; readonly because: string };

/** Reads the ClientHello at the start of a connection, over as many records as it takes (RFC 8446 section 5.1), at most 32 KiB. */
export function readClientHello(bytes: Uint8Array): ClientHelloReading {
  try {
    return assemble(bytes);
  } catch (error) {
    if (error instanceof Malformed) return { kind: 'malformed', because: error.message };
    throw error;
  }
}

/** Joins the handshake octets of the records until the message is whole. */
function assemble(bytes: Uint8Array): ClientHelloReading {
  const fragments: Uint8Array[] = [];
  let held = 0;
  let needed = HANDSHAKE_HEADER;
  let at = 0;
  for (let records = 0; held < needed; records++) {
    if (records === MAX_RECORDS) throw new Malformed('too many records');
    const record = readRecord(bytes, at);
    if (!record) return { kind: 'incomplete' };
    if (held === 0 && record.fragment.length > 0 && record.fragment[0] !== CLIENT_HELLO) throw new Malformed('not a ClientHello');
    fragments.push(record.fragment);
    held += record.fragment.length;
    if (needed === HANDSHAKE_HEADER && held >= HANDSHAKE_HEADER) needed = messageLength(join(fragments));
    if (!record.whole) return { kind: 'incomplete' };
    at = record.end;
  }
  if (held > needed) throw new Malformed('octets after the ClientHello in its record');
  return { kind: 'complete', hello: readBody(join(fragments).subarray(HANDSHAKE_HEADER)), length: at };
}

/** One TLSPlaintext record, or what has come of it; null when not even its header has. What cannot become one is told at once. */
function readRecord(bytes: Uint8Array, at: number): { fragment: Uint8Array; end: number; whole: boolean } | null {
  const type = bytes[at];
  if (type !== undefined && type !== HANDSHAKE_RECORD) throw new Malformed('not a handshake record');
  if (bytes[at + 1] !== undefined && bytes[at + 1] !== 3) throw new Malformed('record of an unknown version');
  if (bytes.length < at + RECORD_HEADER) return null;
  const length = (bytes[at + 3]! << 8) | bytes[at + 4]!;
  if (length === 0 || length > MAX_RECORD) throw new Malformed(`record of ${length} octets`);
  const end = at + RECORD_HEADER + length;
  return { fragment: bytes.subarray(at + RECORD_HEADER, Math.min(end, bytes.length)), end, whole: end <= bytes.length };
}

function messageLength(message: Uint8Array): number {
  const length = (message[1]! << 16) | (message[2]! << 8) | message[3]!;
  if (length > MAX_MESSAGE) throw new Malformed(`ClientHello of ${length} octets`);
  return HANDSHAKE_HEADER + length;
}

function readBody(body: Uint8Array): ClientHello {
  const cursor = new Cursor(body);
  const legacyVersion = cursor.uint16();
  const random = cursor.take(32);
  const sessionIdLength = cursor.vector8().length;
  if (sessionIdLength > 32) throw new Malformed('session id longer than 32 octets');
  const suites = uint16List(cursor.vector16());
  if (suites.length === 0) throw new Malformed('no cipher suite');
  if (cursor.vector8().length === 0) throw new Malformed('no compression method');
  const extensions = cursor.done ? new Map<number, Uint8Array>() : readExtensions(cursor.vector16());
  if (!cursor.done) throw new Malformed('octets after the extensions');
  const read = <T>(type: number, parse: (octets: Uint8Array) => T, absent: T): T => {
    const octets = extensions.get(type);
    return octets ? parse(octets) : absent;
  };
  return {
    versions: read(SUPPORTED_VERSIONS, (octets) => uint16List(only(octets, 8)), [legacyVersion]),
    sni: read(SERVER_NAME, readServerName, null),
    alpn: read(ALPN, readProtocols, []),
    groups: read(SUPPORTED_GROUPS, (octets) => uint16List(only(octets, 16)), []),
    suites,
    random,
    sessionIdLength,
    // An empty session_ticket extension asks for a ticket, it offers none (RFC 5077 section 3.2).
    hasTicket: extensions.has(PRE_SHARED_KEY) || (extensions.get(SESSION_TICKET)?.length ?? 0) > 0,
    ticketKeyName: read(PRE_SHARED_KEY, readFirstIdentity, null) ?? read(SESSION_TICKET, keyNameIn, null),
    asksForStatus: extensions.get(STATUS_REQUEST)?.[0] === OCSP_STATUS,
    hasEncryptedHello: extensions.has(ENCRYPTED_CLIENT_HELLO),
  };
}

function readExtensions(octets: Uint8Array): Map<number, Uint8Array> {
  const cursor = new Cursor(octets);
  const extensions = new Map<number, Uint8Array>();
  while (!cursor.done) {
    const type = cursor.uint16();
    if (extensions.has(type)) throw new Malformed(`extension ${type} twice`);
    extensions.set(type, cursor.vector16());
  }
  return extensions;
}

/** One name of type host_name; more than one of a type is forbidden (RFC 6066 section 3). */
function readServerName(octets: Uint8Array): string | null {
  const cursor = new Cursor(only(octets, 16));
  let host: string | null = null;
  while (!cursor.done) {
    const type = cursor.uint8();
    const name = cursor.vector16();
    if (type !== HOST_NAME) continue;
    if (host !== null) throw new Malformed('two server names');
    if (name.length === 0 || name.length > MAX_HOST || name.some((octet) => octet <= 0x20 || octet >= 0x7f)) {
      throw new Malformed('server name that is no host name');
    }
    host = latin1(name);
  }
  return host;
}

/** Of the offered pre-shared keys the first one's identity; its age and the binders follow (RFC 8446 section 4.2.11). */
function readFirstIdentity(octets: Uint8Array): Uint8Array | null {
  const identities = new Cursor(new Cursor(octets).vector16());
  return identities.done ? null : keyNameIn(identities.vector16());
}

function keyNameIn(ticket: Uint8Array): Uint8Array | null {
  return ticket.length < KEY_NAME ? null : ticket.subarray(0, KEY_NAME);
}

function readProtocols(octets: Uint8Array): string[] {
  const cursor = new Cursor(only(octets, 16));
  const protocols: string[] = [];
  while (!cursor.done) {
    const name = cursor.vector8();
    if (name.length === 0) throw new Malformed('empty protocol name');
    protocols.push(latin1(name));
  }
  return protocols;
}

/** The one vector that fills the extension. */
function only(octets: Uint8Array, lengthBits: 8 | 16): Uint8Array {
  const cursor = new Cursor(octets);
  const vector = lengthBits === 8 ? cursor.vector8() : cursor.vector16();
  if (!cursor.done) throw new Malformed('octets after a vector');
  return vector;
}

function uint16List(octets: Uint8Array): number[] {
  if (octets.length % 2 !== 0) throw new Malformed('a list of odd length');
  return Array.from({ length: octets.length / 2 }, (_, i) => (octets[2 * i]! << 8) | octets[2 * i + 1]!);
}

function join(fragments: readonly Uint8Array[]): Uint8Array {
  return fragments.length === 1 ? fragments[0]! : Buffer.concat(fragments);
}

function latin1(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('latin1');
}

class Malformed extends Error {}

/** Reads forward over the message. */
class Cursor {
  readonly #octets: Uint8Array;
  #at = 0;

  constructor(octets: Uint8Array) {
    this.#octets = octets;
  }

  get done(): boolean {
    return this.#at === this.#octets.length;
  }

  take(length: number): Uint8Array {
    if (this.#at + length > this.#octets.length) throw new Malformed('a field is cut');
    return this.#octets.subarray(this.#at, (this.#at += length));
  }

  uint8(): number {
    return this.take(1)[0]!;
  }

  uint16(): number {
    const octets = this.take(2);
    return (octets[0]! << 8) | octets[1]!;
  }

  vector8(): Uint8Array {
    return this.take(this.uint8());
  }

  vector16(): Uint8Array {
    return this.take(this.uint16());
  }
}

const RECORD_HEADER = 5;
const HANDSHAKE_HEADER = 4;
const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
/** RFC 8446 section 5.1. */
const MAX_RECORD = 16_384;
/** Post-quantum key shares take 1.2 KiB each, tickets some more; others read 16 KiB and have met clients that sent more. */
const MAX_MESSAGE = 32_768;
/** A hello in fragments of one octet would make each read quadratic. */
const MAX_RECORDS = 64;
const MAX_HOST = 255;
const KEY_NAME = 16;
const SERVER_NAME = 0;
const STATUS_REQUEST = 5;
const OCSP_STATUS = 1;
const SUPPORTED_GROUPS = 10;
const ALPN = 16;
const SESSION_TICKET = 35;
const PRE_SHARED_KEY = 41;
const SUPPORTED_VERSIONS = 43;
const ENCRYPTED_CLIENT_HELLO = 0xfe0d;
const HOST_NAME = 0;
