import { ipAddressOctets, parseIpAddress } from '../identity/ip-address.ts';
import { crc32c } from './crc32c.ts';
import { type ProxiedEnds, tlvTypes, V2_SIGNATURE } from './proxy-header.ts';

/** What is told of TLS: what ended here, or only the name that was asked for where it goes on. */
export type ProxiedTls = {
  /** The protocol agreed on; null: none. */
  readonly alpn: string | null;
  readonly serverName: string | null;
  readonly session: { readonly version: string; readonly cipher: string; readonly isClientProved: boolean } | null;
};

/** A line of version 1; `UNKNOWN` where the ends are not known, or of two families. */
export function writeV1Header(ends: ProxiedEnds | null): Buffer {
  if (ends === null || isIpv6(ends.source.host) !== isIpv6(ends.destination.host)) return Buffer.from('PROXY UNKNOWN\r\n');
  const { source, destination } = ends;
  const family = isIpv6(source.host) ? 'TCP6' : 'TCP4';
  return Buffer.from(`PROXY ${family} ${source.host} ${destination.host} ${source.port} ${destination.port}\r\n`);
}

/** A header of version 2, with what is known of TLS as TLVs and a checksum over all of it. */
export function writeV2Header(ends: ProxiedEnds | null, tls: ProxiedTls | null): Buffer {
  const sum = tlv(tlvTypes.crc32c, Buffer.alloc(4));
  const [family, addresses] = addressesOf(ends);
  const body = Buffer.concat([addresses, ...(tls === null ? [] : tlvsOf(tls)), sum]);
  const header = Buffer.concat([V2_SIGNATURE, Buffer.of(PROXY, family, body.length >> 8, body.length & 255), body]);
  header.writeUInt32BE(crc32c(header), header.length - 4);
  return header;
}

function isIpv6(host: string): boolean {
  return host.includes(':');
}

function addressesOf(ends: ProxiedEnds | null): readonly [family: number, octets: Buffer] {
  if (ends === null) return [0, Buffer.alloc(0)];
  const [source, destination] = [ends.source, ends.destination].map(({ host }) => ipAddressOctets(parseIpAddress(host)));
  if (source!.length !== destination!.length) return [0, Buffer.alloc(0)];
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(ends.source.port, 0);
  ports.writeUInt16BE(ends.destination.port, 2);
  return [source!.length === 4 ? 0x11 : 0x21, Buffer.concat([source!, destination!, ports])];
}

function tlvsOf({ alpn, serverName, session }: ProxiedTls): readonly Buffer[] {
  return [
    ...(alpn === null ? [] : [tlv(tlvTypes.alpn, Buffer.from(alpn, 'latin1'))]),
    ...(serverName === null ? [] : [tlv(tlvTypes.authority, Buffer.from(serverName, 'latin1'))]),
    ...(session === null ? [] : [sslOf(session)]),
  ];
}

/** Section 2.2.5: flags, zero where a client certificate was verified, and what the session is. */
function sslOf({ version, cipher, isClientProved }: NonNullable<ProxiedTls['session']>): Buffer {
  const verify = Buffer.alloc(4);
  if (!isClientProved) verify.writeUInt32BE(1);
  const flags = Buffer.of(CLIENT_SSL | (isClientProved ? CLIENT_CERT_CONN | CLIENT_CERT_SESS : 0));
  const parts = [flags, verify, tlv(tlvTypes.sslVersion, Buffer.from(version)), tlv(tlvTypes.sslCipher, Buffer.from(cipher))];
  return tlv(tlvTypes.ssl, Buffer.concat(parts));
}

function tlv(type: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type, value.length >> 8, value.length & 255), value]);
}

/** Version 2, command PROXY. */
const PROXY = 0x21;
const CLIENT_SSL = 1;
const CLIENT_CERT_CONN = 2;
const CLIENT_CERT_SESS = 4;
