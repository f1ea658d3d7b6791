import { type IpAddress, ipAddressFromOctets, ipAddressOctets } from '../identity/ip-address.ts';
import { contextConstructed, contextPrimitive, type DerReader, malformed, tags } from './der.ts';
import { constructed, type DerNode, primitive, raw } from './der-writer.ts';
import { type Name, readName } from './name.ts';

/** The names of a GeneralNames extension by kind, in their order within a kind. Texts are as presented, unchecked. */
export type SubjectAltNames = {
  readonly dns: readonly string[];
  readonly ip: readonly IpAddress[];
  readonly uri: readonly string[];
  readonly email: readonly string[];
  readonly directory: readonly Name[];
  /** otherName, x400Address, ediPartyName, registeredID: the tag number and the whole element. */
  readonly other: readonly { readonly number: number; readonly der: Uint8Array }[];
};

export const noNames: SubjectAltNames = { dns: [], ip: [], uri: [], email: [], directory: [], other: [] };

export function countNames(names: SubjectAltNames): number {
  return names.dns.length + names.ip.length + names.uri.length + names.email.length + names.directory.length + names.other.length;
}

/** Reads the elements of a GeneralNames sequence (RFC 5280 section 4.2.1.6); an empty one is malformed. @throws der-malformed */
export function readGeneralNames(list: DerReader): SubjectAltNames {
  const names = {
    dns: [] as string[],
    ip: [] as IpAddress[],
    uri: [] as string[],
    email: [] as string[],
    directory: [] as Name[],
    other: [] as { number: number; der: Uint8Array }[],
  };
  if (list.done) list.complain('general names without a name');
  while (!list.done) {
    switch (list.nextTag) {
      case RFC822_NAME:
        names.email.push(readIa5(list, RFC822_NAME));
        break;
      case DNS_NAME:
        names.dns.push(readIa5(list, DNS_NAME));
        break;
      case DIRECTORY_NAME:
        names.directory.push(readDirectoryName(list));
        break;
      case URI:
        names.uri.push(readIa5(list, URI));
        break;
      case IP_ADDRESS: {
        const address = ipAddressFromOctets(list.content(IP_ADDRESS));
        if (address) names.ip.push(address);
        else list.complain('an address that is not 4 or 16 octets');
        break;
      }
      default: {
        const tag = list.nextTag;
        if (!otherTags.has(tag)) throw malformed('a general name of unknown kind');
        names.other.push({ number: tag & 0x1f, der: list.element() });
      }
    }
  }
  return names;
}

/** Reads `[4] Name`, which is explicitly tagged because Name is a CHOICE. @throws der-malformed */
export function readDirectoryName(list: DerReader): Name {
  const inner = list.enter(DIRECTORY_NAME);
  const name = readName(inner);
  inner.finish();
  return name;
}

/** The text of the next element, an IA5String under this tag. @throws der-malformed on an octet above 7f */
export function readIa5(reader: DerReader, tag: number): string {
  const octets = reader.content(tag);
  if (octets.some((octet) => octet > 0x7f)) reader.complain('a string with octets above 7f');
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('latin1');
}

/** The GeneralNames sequence of these names: URIs, DNS names, addresses, mail, directories. */
export function generalNamesNode(names: Partial<SubjectAltNames>, tag: number = tags.sequence): DerNode {
  return constructed(tag, [
    ...(names.uri ?? []).map(uriNode),
    ...(names.dns ?? []).map((name) => primitive(DNS_NAME, name)),
    ...(names.ip ?? []).map((address) => primitive(IP_ADDRESS, ipAddressOctets(address))),
    ...(names.email ?? []).map((mailbox) => primitive(RFC822_NAME, mailbox)),
    ...(names.directory ?? []).map((name) => constructed(DIRECTORY_NAME, [raw(name.der)])),
  ]);
}

export function uriNode(uri: string): DerNode {
  return primitive(URI, uri);
}

/** Implicit tags of the GeneralName CHOICE. */
export const RFC822_NAME = contextPrimitive(1);
export const DNS_NAME = contextPrimitive(2);
export const DIRECTORY_NAME = contextConstructed(4);
export const URI = contextPrimitive(6);
export const IP_ADDRESS = contextPrimitive(7);
const otherTags = new Set([contextConstructed(0), contextConstructed(3), contextConstructed(5), contextPrimitive(8)]);
