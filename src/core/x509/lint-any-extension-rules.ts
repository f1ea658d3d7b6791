import { readCertificatePolicies } from './certificate-policies.ts';
import { findExtension, type TbsCertificate } from './certificate.ts';
import { type Access, type KeyUsageBit, readAccess } from './extensions.ts';
import { unless } from './lint-certificate-rules.ts';
import type { LintRule } from './lint-rule.ts';
import { oids } from './oid.ts';
import { purposeUsages } from './purpose-usages.ts';

/** Rules of extensions that this house does not write, or writes in one way only, and others may write wrongly. */
export const anyExtensionRules: readonly LintRule[] = [
  {
    id: 'extension-critical',
    clause: 'RFC 5280 section 4.2.1.11, 4.2.1.14',
    find: ({ tbs }) => {
      const bad = mustBeCritical.find((oid) => findExtension(tbs, oid)?.critical === false);
      return unless(bad === undefined, `extension ${bad} is not critical`);
    },
  },
  {
    id: 'extension-not-critical',
    clause: 'RFC 5280 section 4.2.1.1, 4.2.1.2, 4.2.1.8, 4.2.1.15, 4.2.2',
    find: ({ tbs }) => {
      const bad = mustNotBeCritical.find((oid) => findExtension(tbs, oid)?.critical === true);
      return unless(bad === undefined, `extension ${bad} is critical`);
    },
  },
  {
    id: 'policies',
    clause: 'RFC 5280 section 4.2.1.4, 4.2.1.5, 4.2.1.11',
    find: ({ tbs }) => {
      const { mappings } = readCertificatePolicies(tbs);
      const named = mappings ? [...mappings.keys(), ...[...mappings.values()].flatMap((subjects) => [...subjects])] : [];
      return unless(!named.includes(oids.anyPolicy), 'anyPolicy is mapped');
    },
  },
  {
    id: 'policies-of-authorities',
    clause: 'RFC 5280 section 4.2.1.5, 4.2.1.11, 4.2.1.14',
    find: ({ tbs }) => {
      const bad = [oids.policyMappings, oids.policyConstraints, oids.inhibitAnyPolicy].find((oid) => findExtension(tbs, oid));
      return unless(bad === undefined || tbs.basicConstraints?.ca === true, `extension ${bad} outside an authority`);
    },
  },
  {
    id: 'purposes-and-usage',
    clause: 'RFC 5280 section 4.2.1.12',
    find: ({ tbs: { extendedKeyUsage, keyUsage, basicConstraints } }) => {
      if (!keyUsage || !extendedKeyUsage || basicConstraints?.ca === true) return null;
      const bad = extendedKeyUsage.find((purpose) => purposeUsages.get(purpose)?.some((bit) => keyUsage.has(bit)) === false);
      return unless(bad === undefined, `purpose ${bad} with none of the key usages that it needs`);
    },
  },
  {
    id: 'usage-of-key',
    clause: 'RFC 3279 section 2.3, RFC 8410 section 5, RFC 8813 section 3',
    find: ({ tbs: { publicKey, keyUsage } }) => {
      const never = neverOf.get(publicKey.kind) ?? [];
      const bad = never.find((bit) => keyUsage?.has(bit) === true);
      return unless(bad === undefined, `${bad} with a key of kind ${publicKey.kind}`);
    },
  },
  {
    id: 'usage-only-with-agreement',
    clause: 'RFC 5280 section 4.2.1.3',
    find: ({ tbs: { keyUsage } }) =>
      unless(
        keyUsage === null || keyUsage.has('keyAgreement') || !(keyUsage.has('encipherOnly') || keyUsage.has('decipherOnly')),
        'encipherOnly or decipherOnly without keyAgreement',
      ),
  },
  {
    id: 'information-access',
    clause: 'RFC 5280 section 4.2.2.1, 4.2.2.2',
    find: ({ tbs }) => unless(accessesOf(tbs).every(hasUri), 'an access location of OCSP or caIssuers that is no absolute URI'),
  },
  {
    id: 'information-access-http',
    clause: 'CA/B BR 7.1.2.7.7',
    find: ({ tbs }) =>
      unless(
        accessesOf(tbs).every(({ uri }) => uri === null || /^http:/i.test(uri)),
        'an access location that is not http',
      ),
  },
  {
    id: 'distribution-points',
    clause: 'RFC 5280 section 4.2.1.13',
    find: ({ tbs: { crlDistributionPoints: uris } }) =>
      unless(
        uris.every((uri) => ABSOLUTE.test(uri)),
        'a distribution point whose URI is not absolute',
      ),
  },
  {
    id: 'distribution-points-http',
    clause: 'CA/B BR 7.1.2.11.2',
    find: ({ tbs: { distributionPoints, crlDistributionPoints: uris } }) =>
      unless(
        uris.every((uri) => /^http:/i.test(uri)) &&
          distributionPoints.every(({ reasons, crlIssuer }) => reasons === null && crlIssuer === null),
        'a distribution point that is not http, or is for some reasons or another issuer',
      ),
  },
  {
    id: 'server-purposes',
    clause: 'CA/B BR 7.1.2.7.10',
    find: ({ tbs: { extendedKeyUsage: purposes, basicConstraints } }) => {
      if (purposes?.includes(oids.serverAuth) !== true || basicConstraints?.ca === true) return null;
      const bad = foreignToServers.find((purpose) => purposes.includes(purpose));
      return unless(bad === undefined, `purpose ${bad} beside serverAuth`);
    },
  },
  {
    id: 'ocsp-signer',
    clause: 'RFC 6960 section 4.2.2.2.1',
    find: ({ tbs }) =>
      unless(
        tbs.extendedKeyUsage?.includes(oids.ocspSigning) !== true ||
          tbs.basicConstraints?.ca === true ||
          findExtension(tbs, OCSP_NO_CHECK) !== null,
        'an OCSP signer without nocheck',
      ),
  },
];

function accessesOf(tbs: TbsCertificate): readonly Access[] {
  const extensions = [oids.authorityInfoAccess, oids.subjectInfoAccess].map((oid) => findExtension(tbs, oid));
  return extensions.flatMap((extension) => (extension ? readAccess(extension) : []));
}

function hasUri({ method, uri }: Access): boolean {
  return !(method === oids.caIssuers || method === OCSP) || (uri !== null && ABSOLUTE.test(uri));
}

const ABSOLUTE = /^[a-z][a-z0-9+.-]*:\/\/[!-~]+$/i;
const OCSP = '1.3.6.1.5.5.7.48.1';
const OCSP_NO_CHECK = '1.3.6.1.5.5.7.48.1.5';
const SUBJECT_DIRECTORY_ATTRIBUTES = '2.5.29.9';
const PRECERTIFICATE_SIGNING = '1.3.6.1.4.1.11129.2.4.4';
const mustBeCritical: readonly string[] = [oids.policyConstraints, oids.inhibitAnyPolicy];
const mustNotBeCritical: readonly string[] = [
  oids.authorityKeyIdentifier,
  oids.subjectKeyIdentifier,
  SUBJECT_DIRECTORY_ATTRIBUTES,
  oids.freshestCrl,
  oids.authorityInfoAccess,
  oids.subjectInfoAccess,
];
const foreignToServers: readonly string[] = [
  oids.codeSigning,
  oids.timeStamping,
  oids.ocspSigning,
  oids.anyExtendedKeyUsage,
  PRECERTIFICATE_SIGNING,
];
const neverOf: ReadonlyMap<string, readonly KeyUsageBit[]> = new Map([
  ['ec', ['keyEncipherment', 'dataEncipherment']],
  ['rsa', ['keyAgreement', 'encipherOnly', 'decipherOnly']],
  ['ed25519', ['keyEncipherment', 'dataEncipherment', 'keyAgreement', 'encipherOnly', 'decipherOnly']],
  ['ed448', ['keyEncipherment', 'dataEncipherment', 'keyAgreement', 'encipherOnly', 'decipherOnly']],
]);
