import { findExtension, type TbsCertificate } from './certificate.ts';
import { DerReader, tags } from './der.ts';
import { readAccess } from './extensions.ts';
import { readGeneralNames, type SubjectAltNames } from './general-name.ts';
import { unless } from './lint-certificate-rules.ts';
import type { LintRule } from './lint-rule.ts';
import { HOST, parseMailbox } from './mailbox.ts';
import { isEmptyName } from './name.ts';
import { oids } from './oid.ts';

/** Rules of names and lists inside extensions, and of what an authority puts beside them. */
export const anyFormRules: readonly LintRule[] = [
  {
    id: 'issuer-present',
    clause: 'RFC 5280 section 4.1.2.4',
    find: ({ tbs }) => unless(!isEmptyName(tbs.issuer), 'the issuer is empty'),
  },
  {
    id: 'extension-empty',
    clause: 'RFC 5280 section 4.2 (SIZE (1..MAX))',
    find: ({ tbs }) => {
      const empty = tbs.extensions.find(({ oid, value }) => lists.has(oid) && value.length === 2 && value[1] === 0);
      return unless(empty === undefined, `extension ${empty?.oid} is an empty list`);
    },
  },
  {
    id: 'issuer-alt-name',
    clause: 'RFC 5280 section 4.2.1.7',
    find: ({ tbs }) => {
      const names = issuerNames(tbs);
      if (!names) return null;
      if (!names.dns.every((name) => HOST.test(name))) return 'a dNSName of the issuer that is no host name';
      if (!names.email.every((mailbox) => parseMailbox(mailbox))) return 'an rfc822Name of the issuer that is no mailbox';
      return unless(
        names.uri.every((uri) => ABSOLUTE_URI.test(uri)),
        'a URI of the issuer without scheme',
      );
    },
  },
  {
    id: 'uri-hosts',
    clause: 'RFC 5280 section 4.2.1.6, 4.2.1.7',
    find: ({ tbs }) => {
      const uris = [...tbs.subjectAltNames.uri, ...(issuerNames(tbs)?.uri ?? [])];
      // A trust domain of SPIFFE need not be registered (SPIFFE ID section 2.1).
      const bad = uris.find((uri) => !/^spiffe:/i.test(uri) && !hasFullHost(uri));
      return unless(bad === undefined, 'a URI whose host is neither a full domain name nor an address');
    },
  },
  {
    id: 'mail-in-alternative-name',
    clause: 'RFC 5280 section 4.1.2.6',
    find: ({ tbs }) => {
      const known = new Set(tbs.subjectAltNames.email.map((mailbox) => mailbox.toLowerCase()));
      const isMissing = (value: string | null): boolean =>
        !known.has((value ?? '').toLowerCase()) && tbs.subjectAltNames.other.length === 0;
      const bad = tbs.subject.rdns.flat().find(({ type, value }) => type === oids.emailAddress && isMissing(value));
      return unless(bad === undefined, 'a mail address in the subject that is no alternative name');
    },
  },
  {
    id: 'name-constraint-hosts',
    clause: 'RFC 5280 section 4.2.1.10',
    find: ({ tbs: { nameConstraints } }) => {
      const bases = [...(nameConstraints?.permitted ?? []), ...(nameConstraints?.excluded ?? [])];
      const bad = bases.find((base) =>
        base.kind === 'uri' ? !/^\.?[^.]+\../.test(base.host) || !isHost(base.host) : base.kind === 'dns' && !isDnsBase(base.name),
      );
      return unless(bad === undefined, `a ${bad?.kind} constraint that is no full domain name`);
    },
  },
  {
    id: 'name-constraint-kinds',
    clause: 'RFC 5280 section 4.2.1.10',
    find: ({ tbs: { nameConstraints } }) =>
      unless(
        ![...(nameConstraints?.permitted ?? []), ...(nameConstraints?.excluded ?? [])].some(
          (base) => base.kind === 'other' && base.number !== 0,
        ),
        'a constraint of x400Address, ediPartyName or registeredID',
      ),
  },
  {
    id: 'purposes-critical',
    clause: 'RFC 5280 section 4.2.1.12, CA/B BR 7.1.2.7.6',
    find: ({ tbs }) => {
      const isCritical = findExtension(tbs, oids.extendedKeyUsage)?.critical === true;
      const [any, server] = [oids.anyExtendedKeyUsage, oids.serverAuth].map((oid) => tbs.extendedKeyUsage?.includes(oid) === true);
      return unless(!isCritical || (!any && !server), 'a critical extended key usage with serverAuth or anyExtendedKeyUsage');
    },
  },
  {
    id: 'authority-purposes',
    clause: 'CA/B BR 7.1.2.10.6',
    find: ({ tbs: { basicConstraints, extendedKeyUsage: purposes } }) => {
      if (basicConstraints?.ca !== true || purposes?.includes(oids.serverAuth) !== true) return null;
      const bad = apartFromServers.find((purpose) => purposes.includes(purpose));
      return unless(bad === undefined, `an authority of servers with purpose ${bad}`);
    },
  },
  {
    id: 'usage-beside-signing',
    clause: 'RFC 3279 section 2.3.1',
    find: ({ tbs: { publicKey, keyUsage } }) => {
      if (publicKey.kind !== 'rsa' || !(keyUsage?.has('keyCertSign') || keyUsage?.has('cRLSign'))) return null;
      return unless(!keyUsage.has('keyEncipherment') && !keyUsage.has('dataEncipherment'), 'a key that signs certificates also enciphers');
    },
  },
  {
    id: 'information-access-methods',
    clause: 'CA/B BR 7.1.2.7.7',
    find: ({ tbs }) => {
      const extension = findExtension(tbs, oids.authorityInfoAccess);
      const accesses = extension ? readAccess(extension) : [];
      if (!accesses.every(({ method }) => method === OCSP || method === oids.caIssuers))
        return 'an access method other than OCSP and caIssuers';
      const texts = accesses.map(({ method, uri }) => `${method} ${uri}`);
      return unless(new Set(texts).size === texts.length, 'an access location twice');
    },
  },
  {
    id: 'single-attributes',
    clause: 'CA/B BR 7.1.4.1',
    find: ({ tbs: { subject } }) => {
      if (subject.rdns.some((rdn) => rdn.length > 1)) return 'a subject part of several attributes';
      const types = subject.rdns.flat().flatMap(({ type }) => (repeatable.has(type) ? [] : [type]));
      return unless(new Set(types).size === types.length, 'a subject attribute twice');
    },
  },
  {
    id: 'timestamps',
    clause: 'RFC 6962 section 3.1, 3.3',
    find: ({ tbs }) => {
      const timestamps = findExtension(tbs, SIGNED_TIMESTAMPS);
      if (!timestamps) return null;
      if (findExtension(tbs, PRECERTIFICATE_POISON)) return 'a precertificate with timestamps of logs';
      return unless(
        isTimestampList(DerReader.over(timestamps.value).content(tags.octetString)),
        'a list of timestamps that is empty or cut',
      );
    },
  },
  {
    id: 'reserved-labels',
    clause: 'RFC 5890 section 2.3.1',
    find: ({ tbs: { subjectAltNames } }) =>
      unless(
        !subjectAltNames.dns.some((name) => name.split('.').some((label) => /^(?!xn)..--/i.test(label))),
        'a DNS label with hyphens in the third and fourth place that is no A-label',
      ),
  },
];

function issuerNames(tbs: TbsCertificate): SubjectAltNames | null {
  const extension = findExtension(tbs, ISSUER_ALT_NAME);
  return extension && readGeneralNames(DerReader.over(extension.value).enter(tags.sequence));
}

/** True as well of a URI without authority, which has no host. */
function hasFullHost(uri: string): boolean {
  const authority = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?(\[[0-9a-f:.]*\]|[^/?#:]*)/i.exec(uri)?.[1];
  if (authority === undefined || authority.startsWith('[')) return true;
  return HOST.test(authority) && authority.includes('.');
}

/** `SerializedSCT sct_list <1..2^16-1>`, each of them with a length of two octets. */
function isTimestampList(octets: Uint8Array): boolean {
  const lengthAt = (at: number): number => octets[at]! * 256 + octets[at + 1]!;
  if (octets.length < 4 || lengthAt(0) !== octets.length - 2) return false;
  let at = 2;
  while (at + 2 < octets.length && lengthAt(at) > 0) at += 2 + lengthAt(at);
  return at === octets.length;
}

function isHost(base: string): boolean {
  return HOST.test(base.replace(/^\./, '')) && !/^[0-9.]+$/.test(base);
}

function isDnsBase(base: string): boolean {
  return base === '' || HOST.test(base);
}

const ABSOLUTE_URI = /^[a-z][a-z0-9+.-]*:[!-~]+$/i;
const OCSP = '1.3.6.1.5.5.7.48.1';
const SIGNED_TIMESTAMPS = '1.3.6.1.4.1.11129.2.4.2';
const PRECERTIFICATE_POISON = '1.3.6.1.4.1.11129.2.4.3';
const ISSUER_ALT_NAME = '2.5.29.18';
const SUBJECT_DIRECTORY_ATTRIBUTES = '2.5.29.9';
const lists: ReadonlySet<string> = new Set([ISSUER_ALT_NAME, SUBJECT_DIRECTORY_ATTRIBUTES, oids.freshestCrl]);
const apartFromServers: readonly string[] = [
  oids.anyExtendedKeyUsage,
  oids.codeSigning,
  oids.emailProtection,
  oids.timeStamping,
  oids.ocspSigning,
];
const STREET = '2.5.4.9';
const repeatable: ReadonlySet<string> = new Set([oids.domainComponent, oids.organizationalUnit, STREET]);
