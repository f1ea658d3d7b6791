import { type DnsName, matchesDnsName } from '../identity/dns-name.ts';
import type { IpAddress } from '../identity/ip-address.ts';
import type { TbsCertificate } from './certificate.ts';
import { type Mailbox, parseMailbox, readSmtpUtf8Mailbox } from './mailbox.ts';

/** The name by which a caller knows a server, or somebody a mail address. */
export type ReferenceIdentity =
  | { readonly kind: 'dns'; readonly name: DnsName }
  | { readonly kind: 'ip'; readonly address: IpAddress }
  | { readonly kind: 'email'; readonly mailbox: Mailbox }
  | { readonly kind: 'uri'; readonly uri: string };

/** RFC 9525: subject alternative names of the same kind only; the common name is never looked at (section 6.4.4 of RFC 6125 is gone). */
export function presentsIdentity(certificate: TbsCertificate, reference: ReferenceIdentity): boolean {
  const names = certificate.subjectAltNames;
  switch (reference.kind) {
    case 'dns':
      return names.dns.some((presented) => matchesDnsName(presented, reference.name));
    case 'ip':
      return names.ip.includes(reference.address);
    case 'email':
      return presentedMailboxes(certificate).some(
        (mailbox) => mailbox?.local === reference.mailbox.local && mailbox.host === reference.mailbox.host,
      );
    case 'uri': {
      const wanted = comparableUri(reference.uri);
      return wanted !== null && names.uri.some((presented) => comparableUri(presented) === wanted);
    }
    default:
      return reference satisfies never;
  }
}

function presentedMailboxes({ subjectAltNames: { email, other } }: TbsCertificate): readonly (Mailbox | null)[] {
  return [
    ...email.map((mailbox) => parseMailbox(mailbox)),
    ...other
      .filter(({ number }) => number === 0)
      .map(({ der }) => readSmtpUtf8Mailbox(der))
      .map((text) => (text === null ? null : parseMailbox(text, true))),
  ];
}

/** RFC 5280 section 7.4: octet by octet, once scheme and host are in lower case. Null: not an absolute URI. */
function comparableUri(uri: string): string | null {
  const parts = URI_PARTS.exec(uri);
  if (!parts) return null;
  const [, scheme = '', authority = '', rest = ''] = parts;
  const host = authority.lastIndexOf('@') + 1;
  return scheme.toLowerCase() + authority.slice(0, host) + authority.slice(host).toLowerCase() + rest;
}

const URI_PARTS = /^([A-Za-z][A-Za-z0-9+.-]*:)((?:\/\/[^/?#]*)?)([!-~]*)$/;
