import { type ProtocolVersion, protocolVersions } from './protocol-version.ts';

/** What a made ClientHello offers: exactly this, whatever a cryptographic library would make of it. */
export type HelloOffer = {
  /** The one version that is offered. */
  readonly version: ProtocolVersion;
  readonly suites: readonly number[];
  readonly groups: readonly number[];
  readonly signatureSchemes: readonly number[];
  /** For what signs certificates, apart from the handshake (RFC 8446 section 4.2.3). */
  readonly certificateSchemes: readonly number[];
  /** host_name; null: none is sent. */
  readonly serverName: string | null;
  /** Of TLS 1.3; with none of them a server names the group that it wants (RFC 8446 section 4.2.8), and no key has to be made. */
  readonly keyShares: readonly KeyShare[];
  /** 32 octets. */
  readonly random: Uint8Array;
  /** Methods in order; 0 is none, 1 DEFLATE (RFC 3749). */
  readonly compression: readonly number[];
};

export type KeyShare = { readonly group: number; readonly key: Uint8Array };

/** A ClientHello in one record (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2; for SSL 3.0 without extensions, RFC 6101). */
export function encodeClientHello(offer: HelloOffer): Buffer {
  const code = protocolVersions[offer.version];
  const legacy = Math.min(code, protocolVersions['1.2']);
  const body = Buffer.concat([
    uint16(legacy),
    offer.random,
    // TLS 1.3 in the form that old boxes in the middle take for a resumption (RFC 8446 appendix D.4).
    vector8(offer.version === '1.3' ? offer.random : EMPTY),
    vector16(uint16List(offer.suites)),
    vector8(Buffer.from(offer.compression)),
    offer.version === 'SSL 3.0' ? EMPTY : vector16(Buffer.concat(extensionsOf(offer))),
  ]);
  const message = Buffer.concat([Buffer.of(CLIENT_HELLO), uint24(body.length), body]);
  // RFC 8446 section 5.1: the first record of a ClientHello says 0x0301, for servers that know no better.
  return Buffer.concat([Buffer.of(HANDSHAKE_RECORD), uint16(Math.min(legacy, protocolVersions['1.0'])), vector16(message)]);
}

function extensionsOf(offer: HelloOffer): Buffer[] {
  const modern = offer.version === '1.3';
  return [
    ...(offer.serverName === null ? [] : [extension(SERVER_NAME, vector16(Buffer.concat([Buffer.of(0), text16(offer.serverName)])))]),
    ...(offer.groups.length === 0 ? [] : [extension(SUPPORTED_GROUPS, vector16(uint16List(offer.groups)))]),
    ...(offer.version === '1.2' || modern ? [extension(SIGNATURE_ALGORITHMS, vector16(uint16List(offer.signatureSchemes)))] : []),
    ...(modern
      ? [
          extension(SIGNATURE_ALGORITHMS_CERT, vector16(uint16List(offer.certificateSchemes))),
          extension(SUPPORTED_VERSIONS, vector8(uint16(protocolVersions['1.3']))),
          extension(PSK_KEY_EXCHANGE_MODES, vector8(Buffer.of(PSK_WITH_DHE))),
          extension(
            KEY_SHARE,
            vector16(Buffer.concat(offer.keyShares.map(({ group, key }) => Buffer.concat([uint16(group), vector16(key)])))),
          ),
        ]
      : [
          extension(EC_POINT_FORMATS, vector8(Buffer.of(UNCOMPRESSED))),
          extension(SESSION_TICKET, EMPTY),
          extension(EXTENDED_MASTER_SECRET, EMPTY),
          extension(RENEGOTIATION_INFO, vector8(EMPTY)),
        ]),
  ];
}

function extension(type: number, content: Uint8Array): Buffer {
  return Buffer.concat([uint16(type), vector16(content)]);
}

function text16(text: string): Buffer {
  return vector16(Buffer.from(text, 'latin1'));
}

function uint16(value: number): Buffer {
  return Buffer.of(value >> 8, value & 255);
}

function uint24(value: number): Buffer {
  return Buffer.of(value >> 16, (value >> 8) & 255, value & 255);
}

function uint16List(values: readonly number[]): Buffer {
  return Buffer.concat(values.map(uint16));
}

function vector8(content: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(content.length), content]);
}

function vector16(content: Uint8Array): Buffer {
  return Buffer.concat([uint16(content.length), content]);
}

const EMPTY = Buffer.alloc(0);
const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const SUPPORTED_GROUPS = 10;
const EC_POINT_FORMATS = 11;
const UNCOMPRESSED = 0;
const SIGNATURE_ALGORITHMS = 13;
const EXTENDED_MASTER_SECRET = 23;
const SESSION_TICKET = 35;
const SUPPORTED_VERSIONS = 43;
const PSK_KEY_EXCHANGE_MODES = 45;
const PSK_WITH_DHE = 1;
const SIGNATURE_ALGORITHMS_CERT = 50;
const KEY_SHARE = 51;
const RENEGOTIATION_INFO = 0xff01;
