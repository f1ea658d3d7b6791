import { DAY_MS, type Instant } from '../time/instant.ts';
import { Problem } from '../problems/problem.ts';
import { certificateKey, type TbsCertificate } from './certificate.ts';
import { contextPrimitive, DerReader, equalOctets, tags } from './der.ts';
import { encodeDer, oid, sequence } from './der-writer.ts';
import { unless } from './lint-certificate-rules.ts';
import type { LintRule } from './lint-rule.ts';
import { parseMailbox } from './mailbox.ts';
import type { NameAttribute } from './name.ts';
import { oids } from './oid.ts';

/** Rules of basic fields and names that matter for certificates of others. */
export const anyNameRules: readonly LintRule[] = [
  {
    id: 'signature-known',
    clause: 'RFC 5280 section 4.1.1.2, RFC 8603, CA/B BR 7.1.3.2',
    find: ({ tbs }) =>
      unless(tbs.signatureAlgorithm !== null || isUnsigned(tbs), 'signature algorithm is weak, unknown, or has wrong parameters'),
  },
  {
    id: 'key-point',
    clause: 'RFC 5480 section 2.2, CA/B BR 6.1.6',
    find: ({ tbs }) => unless(tbs.publicKey.kind !== 'ec' || hasKey(tbs), 'the point is not on its curve'),
  },
  {
    id: 'unique-identifiers',
    clause: 'RFC 5280 section 4.1.2.8',
    find: ({ tbs }) => unless(!hasUniqueIdentifier(tbs.tbs), 'a unique identifier of issuer or subject'),
  },
  {
    id: 'validity-of-servers',
    clause: 'CA/B BR 6.3.2',
    find: ({ tbs }) => {
      if (tbs.basicConstraints?.ca === true || tbs.extendedKeyUsage?.includes(oids.serverAuth) !== true) return null;
      // Both ends belong to the validity.
      const days = (tbs.notAfter - tbs.notBefore + 1000) / DAY_MS;
      const limit = serverDays.find(({ from }) => tbs.notBefore >= from)!.days;
      return unless(days <= limit, `valid for ${Math.ceil(days)} days, expected at most ${limit}`);
    },
  },
  {
    id: 'subject-lengths',
    clause: 'RFC 5280 appendix A.1 (upper bounds)',
    find: ({ tbs }) => {
      const long = attributesOf(tbs).find(({ type, value }) => [...(value ?? '')].length > (upperBounds.get(type) ?? Infinity));
      return unless(long === undefined, `attribute ${long?.type} is longer than ${upperBounds.get(long?.type ?? '')} characters`);
    },
  },
  {
    id: 'subject-values',
    clause: 'RFC 5280 appendix A.1, CA/B BR 7.1.4.2',
    find: ({ tbs }) => {
      const bad = attributesOf(tbs).find(
        ({ value }) => value !== null && (/^[\s.*?_-]*$/.test(value) || value.trim() !== value || /\p{Cc}/u.test(value)),
      );
      return unless(bad === undefined, `attribute ${bad?.type} says nothing, or has blanks around it or control characters in it`);
    },
  },
  {
    id: 'printable-strings',
    clause: 'X.680 section 41.4',
    find: ({ tbs }) => {
      const bad = attributesOf(tbs).find(
        ({ tag, value }) => tag === tags.printableString && !/^[A-Za-z0-9 '()+,\-./:=?]*$/.test(value ?? ''),
      );
      return unless(bad === undefined, `attribute ${bad?.type} has characters that no PrintableString has`);
    },
  },
  {
    id: 'country',
    clause: 'RFC 5280 appendix A.1 (X520countryName)',
    find: ({ tbs }) => {
      const bad = attributesOf(tbs).find(
        ({ type, tag, value }) => type === oids.country && (tag !== tags.printableString || !/^[A-Z]{2}$/.test(value ?? '')),
      );
      return unless(bad === undefined, 'a country that is not two capital letters in a PrintableString');
    },
  },
  {
    id: 'issuer-country',
    clause: 'RFC 5280 appendix A.1 (X520countryName)',
    find: ({ tbs }) => {
      const bad = tbs.issuer.rdns.flat().find(({ type, tag }) => type === oids.country && tag !== tags.printableString);
      return unless(bad === undefined, "the issuer's country is no PrintableString");
    },
  },
  {
    id: 'ia5-attributes',
    clause: 'RFC 5280 section 4.1.2.6, appendix A.1',
    find: ({ tbs }) => {
      const bad = attributesOf(tbs).find(
        ({ type, tag }) => (type === oids.emailAddress || type === oids.domainComponent) && tag !== tags.ia5String,
      );
      return unless(bad === undefined, `attribute ${bad?.type} is no IA5String`);
    },
  },
  {
    id: 'mail-addresses',
    clause: 'RFC 5280 section 4.2.1.6, RFC 9598',
    find: ({ tbs }) => {
      const bad = tbs.subjectAltNames.email.find((mailbox) => parseMailbox(mailbox) === null);
      return unless(bad === undefined, 'an rfc822Name that is no mailbox');
    },
  },
  {
    id: 'names-repeated',
    clause: 'RFC 5280 section 4.2.1.6',
    find: ({ tbs: { subjectAltNames: names } }) => {
      const texts = [...names.dns.map((name) => name.toLowerCase()), ...names.ip, ...names.uri, ...names.email];
      return unless(new Set(texts).size === texts.length, 'a subject alternative name twice');
    },
  },
];

/** A certificate whose signature nobody is to verify: an anchor, or what a lint looks at (RFC 9925 section 3). */
export function isUnsigned({ signatureAlgorithmDer }: TbsCertificate): boolean {
  return equalOctets(signatureAlgorithmDer, UNSIGNED);
}

function attributesOf({ subject }: TbsCertificate): readonly NameAttribute[] {
  return subject.rdns.flat();
}

function hasKey(tbs: TbsCertificate): boolean {
  try {
    certificateKey(tbs);
    return true;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return false;
  }
}

/** Optional fields between key and extensions. */
function hasUniqueIdentifier(tbs: Uint8Array): boolean {
  const body = DerReader.over(tbs).enter(tags.sequence);
  while (!body.done) {
    if (body.nextTag === contextPrimitive(1) || body.nextTag === contextPrimitive(2)) return true;
    body.element();
  }
  return false;
}

/** Longest validity of server certificates by the day that it begins on, newest first. */
const serverDays: readonly { readonly from: Instant; readonly days: number }[] = [
  { from: Date.UTC(2029, 2, 15), days: 47 },
  { from: Date.UTC(2027, 2, 15), days: 100 },
  { from: Date.UTC(2026, 2, 15), days: 200 },
  { from: Date.UTC(2020, 8, 1), days: 398 },
  { from: Number.NEGATIVE_INFINITY, days: 825 },
];
/** ub-… of RFC 5280 appendix A.1, in characters. */
const upperBounds: ReadonlyMap<string, number> = new Map([
  [oids.commonName, 64],
  [oids.serialNumber, 64],
  [oids.locality, 128],
  [oids.state, 128],
  [oids.street, 128],
  [oids.organization, 64],
  [oids.organizationalUnit, 64],
  [oids.emailAddress, 255],
  // surname, givenName: ub-name; postalCode: X.520 ub-postal-code.
  ['2.5.4.4', 32_768],
  ['2.5.4.42', 32_768],
  ['2.5.4.17', 40],
]);
const UNSIGNED = encodeDer(sequence(oid(oids.unsigned)));
