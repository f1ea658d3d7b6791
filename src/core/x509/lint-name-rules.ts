import { parseDnsPattern } from '../identity/dns-name.ts';
import { parseSpiffeId } from '../identity/spiffe-id.ts';
import { findExtension, type TbsCertificate } from './certificate.ts';
import { tags } from './der.ts';
import { countNames } from './general-name.ts';
import { unless } from './lint-certificate-rules.ts';
import { isResponder, speaksForAuthority } from './lint-extension-rules.ts';
import type { LintRule } from './lint-rule.ts';
import { breaksNameConstraints } from './match-name-constraints.ts';
import { isEmptyName } from './name.ts';
import { oids } from './oid.ts';

/** Rules of subject and alternative names. */
export const nameRules: readonly LintRule[] = [
  {
    id: 'subject-alt-name',
    clause: 'RFC 5280 section 4.1.2.6, 4.2.1.6',
    find: ({ tbs }) => {
      const extension = findExtension(tbs, oids.subjectAltName);
      if (!extension) return unless(isDistinguished(tbs), 'a leaf without subject alternative name');
      return unless(
        extension.critical === isEmptyName(tbs.subject),
        'subject alternative name is critical exactly if the subject is empty',
      );
    },
  },
  {
    id: 'subject-strings',
    clause: 'RFC 5280 section 4.1.2.6',
    find: ({ tbs }) => {
      const allowed: readonly number[] = [tags.utf8String, tags.printableString, tags.ia5String];
      const other = tbs.subject.rdns.flat().find(({ tag }) => !allowed.includes(tag));
      return unless(other === undefined, `subject attribute ${other?.type} is neither UTF8String nor PrintableString`);
    },
  },
  {
    id: 'common-name',
    clause: 'CA/B BR 7.1.4.3',
    find: ({ tbs }) => {
      if (isDistinguished(tbs)) return null;
      const { dns, ip, uri, email } = tbs.subjectAltNames;
      const names = [...dns, ...ip, ...uri, ...email] as readonly string[];
      const stranger = tbs.subject.rdns.flat().find(({ type, value }) => type === oids.commonName && !names.includes(value ?? ''));
      return unless(stranger === undefined, 'common name repeats no alternative name');
    },
  },
  {
    id: 'dns-names',
    clause: 'RFC 5280 section 4.2.1.6, RFC 9525 section 6.3',
    find: ({ tbs }) => {
      const bad = tbs.subjectAltNames.dns.find((name) => !holds(() => parseDnsPattern(name) === name));
      return unless(bad === undefined, 'a DNS name that is not lower case letters, digits and hyphens');
    },
  },
  {
    id: 'uris',
    clause: 'RFC 5280 section 4.2.1.6',
    find: ({ tbs }) => {
      const bad = tbs.subjectAltNames.uri.find((uri) => !/^[a-z][a-z0-9+.-]*:[!-~]+$/i.test(uri));
      return unless(bad === undefined, 'a URI without scheme, or with characters that no URI has');
    },
  },
  {
    id: 'names-distinct',
    clause: 'RFC 5280 section 4.2.1.6',
    find: ({ tbs: { subjectAltNames: names } }) =>
      unless(
        new Set([...names.dns, ...names.ip, ...names.uri, ...names.email]).size === countNames(names),
        'a name twice, or of a kind that is not issued',
      ),
  },
  {
    id: 'names-within-issuer',
    clause: 'RFC 5280 section 4.2.1.10',
    find: ({ tbs, issuer }) => {
      const constraints = issuer?.nameConstraints ?? null;
      return constraints && breaksNameConstraints(tbs, constraints, { left: MAX_COMPARISONS });
    },
  },
  {
    id: 'svid-name',
    clause: 'SPIFFE X509-SVID section 2',
    find: ({ tbs }) => {
      if (!isSvid(tbs)) return null;
      const { uri } = tbs.subjectAltNames;
      return unless(
        uri.length === 1 && holds(() => parseSpiffeId(uri[0]!) === uri[0]),
        'expected exactly one URI, a SPIFFE ID with a path',
      );
    },
  },
  {
    id: 'svid-authority',
    clause: 'SPIFFE X509-SVID section 4.1',
    find: ({ tbs }) => unless(!isSvid(tbs) || tbs.basicConstraints?.ca !== true, 'a SPIFFE ID with a path in an authority'),
  },
  {
    id: 'svid-purposes',
    clause: 'SPIFFE X509-SVID section 4.4',
    find: ({ tbs }) => {
      const purposes = tbs.extendedKeyUsage ?? [];
      const both = purposes.includes(oids.serverAuth) && purposes.includes(oids.clientAuth);
      return unless(!isSvid(tbs) || both, 'expected both server and client authentication');
    },
  },
];

/** True of what has a distinguished name and no other. */
function isDistinguished(tbs: TbsCertificate): boolean {
  return tbs.basicConstraints?.ca === true || isResponder(tbs) || speaksForAuthority(tbs);
}

function isSvid(tbs: TbsCertificate): boolean {
  return tbs.subjectAltNames.uri.some((uri) => /^spiffe:/i.test(uri));
}

function holds(check: () => boolean): boolean {
  try {
    return check();
  } catch {
    return false;
  }
}

const MAX_COMPARISONS = 100_000;
