import { ipAddressOctets } from '../identity/ip-address.ts';
import type { TbsCertificate } from './certificate.ts';
import { isEmptyName, isWithinName, type Name } from './name.ts';
import { HOST, parseMailbox, readSmtpUtf8Mailbox } from './mailbox.ts';
import type { NameBase, NameConstraints } from './name-constraints.ts';
import { oids } from './oid.ts';

/** How many comparisons of a name with a base are left; shared over a whole path, so that a hostile chain costs bounded time. */
export type ComparisonBudget = { left: number };

/** All of a certificate that constraints look at. */
export type NamedCertificate = Pick<TbsCertificate, 'subject' | 'subjectAltNames'>;

/** A name that constraints look at, in the form that they compare. */
type PresentedName =
  | { readonly kind: 'dns'; readonly name: string; readonly wildcard: boolean }
  | { readonly kind: 'email'; readonly local: string; readonly host: string }
  | { readonly kind: 'uri'; readonly host: string }
  | { readonly kind: 'ip'; readonly octets: Uint8Array }
  | { readonly kind: 'directory'; readonly name: Name }
  | { readonly kind: 'other'; readonly number: number }
  /** Cannot be compared, and so is neither proved permitted nor proved not excluded. */
  | { readonly kind: 'unreadable'; readonly of: 'dns' | 'email' | 'uri' };

/**
 * Why the certificate's names break the constraints, or null (RFC 5280 section 6.1.3 (b), (c) and 4.2.1.10).
 * A name that cannot be read, and a constraint of a kind that is not supported, refuse the name instead of letting it pass.
 */
export function breaksNameConstraints(
  certificate: NamedCertificate,
  constraints: NameConstraints,
  budget: ComparisonBudget,
): string | null {
  const { permitted, excluded } = constraints;
  const kinds = new Set([...permitted, ...excluded].map(kindOfBase));
  const malformedKinds = new Set([...permitted, ...excluded].filter((base) => !isUsableBase(base)).map(kindOfBase));
  const permittedKinds = new Set(permitted.map(kindOfBase));
  for (const name of presentedNames(certificate)) {
    const kind = kindOfName(name);
    if (!kinds.has(kind)) continue;
    if (malformedKinds.has(kind)) return `a malformed ${kind} constraint`;
    if (name.kind === 'unreadable' || name.kind === 'other') return `a ${kind} name that constraints cannot be applied to`;
    budget.left -= permitted.length + excluded.length;
    if (budget.left < 0) return 'more names and constraints than the limit';
    if (permittedKinds.has(kind) && !permitted.some((base) => isWithin(name, base, 'permitted')))
      return `a ${kind} name that is not permitted`;
    if (excluded.some((base) => isWithin(name, base, 'excluded'))) return `a ${kind} name that is excluded`;
  }
  return null;
}

function kindOfBase(base: NameBase): string {
  return base.kind === 'other' ? `other-${base.number}` : base.kind;
}

function kindOfName(name: PresentedName): string {
  if (name.kind === 'other') return `other-${name.number}`;
  return name.kind === 'unreadable' ? name.of : name.kind;
}

/** A leading period is a form of URI and mail constraints only; an empty text stands for every name. */
function isUsableBase(base: NameBase): boolean {
  switch (base.kind) {
    case 'dns':
      return base.name === '' || HOST.test(base.name);
    case 'uri':
      return base.host === '' || HOST.test(base.host.replace(/^\./, ''));
    case 'email':
      if (base.mailbox.includes('@')) return parseMailbox(base.mailbox) !== null;
      return base.mailbox === '' || HOST.test(base.mailbox.replace(/^\./, ''));
    default:
      return true;
  }
}

function* presentedNames(certificate: NamedCertificate): Generator<PresentedName> {
  const { subject, subjectAltNames: names } = certificate;
  if (!isEmptyName(subject)) yield { kind: 'directory', name: subject };
  for (const name of names.directory) yield { kind: 'directory', name };
  for (const name of names.dns) yield readDns(name);
  for (const address of names.ip) yield { kind: 'ip', octets: ipAddressOctets(address) };
  for (const uri of names.uri) yield readUri(uri);
  for (const mailbox of names.email) yield readMailbox(mailbox);
  // Certificates of old carry the mail address in the subject; RFC 5280 section 4.2.1.10 constrains it there too.
  for (const { type, value } of subject.rdns.flat()) if (type === oids.emailAddress) yield readMailbox(value ?? '');
  for (const name of names.other) yield* readOther(name);
}

function readDns(presented: string): PresentedName {
  const wildcard = presented.startsWith('*.');
  const name = wildcard ? presented.slice(2) : presented;
  return HOST.test(name) ? { kind: 'dns', name: name.toLowerCase(), wildcard } : { kind: 'unreadable', of: 'dns' };
}

/** The constraint applies to a host name; a URI without one, or with an address, cannot be judged (RFC 5280 section 4.2.1.10). */
function readUri(uri: string): PresentedName {
  const host = URI_HOST.exec(uri)?.[1] ?? '';
  return HOST.test(host) && !/^[0-9.]+$/.test(host) ? { kind: 'uri', host: host.toLowerCase() } : { kind: 'unreadable', of: 'uri' };
}

function readMailbox(text: string, international = false): PresentedName {
  const mailbox = parseMailbox(text, international);
  return mailbox ? { kind: 'email', ...mailbox } : { kind: 'unreadable', of: 'email' };
}

/** RFC 9598 section 6: an internationalized mailbox is held to the constraints of rfc822Name, and stays an otherName. */
function* readOther({ number, der }: NamedCertificate['subjectAltNames']['other'][number]): Generator<PresentedName> {
  yield { kind: 'other', number };
  const text = number === 0 ? readSmtpUtf8Mailbox(der) : null;
  if (text !== null) yield readMailbox(text, true);
}

function isWithin(name: PresentedName, base: NameBase, list: 'permitted' | 'excluded'): boolean {
  switch (base.kind) {
    case 'dns':
      return name.kind === 'dns' && isDnsWithin(name, base.name.toLowerCase(), list);
    case 'email':
      return name.kind === 'email' && isMailboxWithin(name, base.mailbox);
    case 'uri':
      return name.kind === 'uri' && isHostWithin(name.host, base.host.toLowerCase());
    case 'ip':
      return name.kind === 'ip' && isAddressWithin(name.octets, base.address, base.mask);
    case 'directory':
      return name.kind === 'directory' && isWithinName(name.name, base.name);
    case 'other':
      return false;
    default:
      return base satisfies never;
  }
}

/** Any number of labels may be added on the left. A wildcard is excluded already when one of the names it stands for would be. */
function isDnsWithin({ name, wildcard }: { name: string; wildcard: boolean }, base: string, list: 'permitted' | 'excluded'): boolean {
  if (base === '' || name === base || name.endsWith(`.${base}`)) return true;
  return wildcard && list === 'excluded' && base.endsWith(`.${name}`) && !base.slice(0, -name.length - 1).includes('.');
}

function isMailboxWithin({ local, host }: { local: string; host: string }, base: string): boolean {
  if (!base.includes('@')) return isHostWithin(host, base.toLowerCase());
  const mailbox = parseMailbox(base);
  return local === mailbox?.local && host === mailbox.host;
}

/** `.example.com`: every host below it, not itself; `example.com`: that host alone. */
function isHostWithin(host: string, base: string): boolean {
  if (base === '') return true;
  return base.startsWith('.') ? host.endsWith(base) && host.length > base.length : host === base;
}

function isAddressWithin(octets: Uint8Array, address: Uint8Array, mask: Uint8Array): boolean {
  return octets.length === address.length && octets.every((octet, i) => (octet & mask[i]!) === (address[i]! & mask[i]!));
}

const URI_HOST = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#:@]*)(?::[0-9]*)?(?:[/?#]|$)/;
