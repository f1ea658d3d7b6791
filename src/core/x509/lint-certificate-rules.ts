import { HOUR_MS } from '../time/instant.ts';
import { equalOctets, tags } from './der.ts';
import type { PublicKeyKind } from './public-key.ts';
import type { LintRule, LintSubject } from './lint-rule.ts';
import { isEmptyName } from './name.ts';
import type { SignatureAlgorithm } from './signature-algorithm.ts';
import { isSlhDsa, type SlhDsaAlgorithm } from './slh-dsa.ts';

/** Rules of the basic fields: version, serial, algorithm, issuer, validity, key. */
export const certificateRules: readonly LintRule[] = [
  {
    id: 'version-3',
    clause: 'RFC 5280 section 4.1.2.1',
    find: ({ tbs }) => unless(tbs.version === 3, `version ${tbs.version}, expected 3`),
  },
  {
    id: 'serial-positive',
    clause: 'RFC 5280 section 4.1.2.2',
    find: ({ tbs: { serial } }) => unless(serial[0]! < 0x80 && serial.some((octet) => octet !== 0), 'serial number is zero or negative'),
  },
  {
    id: 'serial-length',
    clause: 'RFC 5280 section 4.1.2.2, CA/B BR 7.1.2.7',
    find: ({ tbs: { serial } }) =>
      unless(serial.length >= 9 && serial.length <= 20, `serial number of ${serial.length} octets, expected 9 to 20`),
  },
  {
    id: 'signature-algorithm',
    clause: 'RFC 5280 section 4.1.1.2, RFC 5758 section 3.2, RFC 8410 section 3',
    find: judgeAlgorithm,
  },
  {
    id: 'issuer-name',
    clause: 'RFC 5280 section 4.1.2.4',
    find: ({ tbs, issuer }) => {
      if (isEmptyName(tbs.issuer)) return 'issuer is empty';
      return unless(equalOctets(tbs.issuer.der, (issuer ?? tbs).subject.der), "issuer is not octet for octet the authority's subject");
    },
  },
  {
    id: 'issuer-can-sign',
    clause: 'RFC 5280 section 4.2.1.9, 4.2.1.3',
    find: ({ tbs, issuer }) => {
      if (!issuer) return unless(tbs.basicConstraints?.ca === true, 'only an authority signs itself');
      if (issuer.basicConstraints?.ca !== true || issuer.keyUsage?.has('keyCertSign') === false) return 'the issuer is no authority';
      return unless(!(tbs.basicConstraints?.ca === true && issuer.basicConstraints.pathLength === 0), 'path length of the issuer is 0');
    },
  },
  {
    id: 'validity-form',
    clause: 'RFC 5280 section 4.1.2.5',
    find: ({ tbs, timeTags }) => {
      const expected = [tbs.notBefore, tbs.notAfter].map((at) => (at < GENERALIZED_FROM ? tags.utcTime : tags.generalizedTime));
      return unless(
        timeTags[0] === expected[0] && timeTags[1] === expected[1],
        'UTCTime belongs to years through 2049, GeneralizedTime to later ones',
      );
    },
  },
  {
    id: 'validity-order',
    clause: 'RFC 5280 section 4.1.2.5',
    find: ({ tbs }) => unless(tbs.notBefore <= tbs.notAfter, 'notBefore is after notAfter'),
  },
  {
    id: 'validity-within-issuer',
    clause: 'RFC 5280 section 6.1.3',
    find: ({ tbs, issuer }) => unless(!issuer || tbs.notAfter <= issuer.notAfter, "notAfter is past the issuer's"),
  },
  {
    id: 'validity-ended',
    clause: 'RFC 5280 section 4.1.2.5',
    find: ({ tbs, now }) => unless(tbs.notAfter >= now - 1000, 'notAfter has passed'),
  },
  {
    id: 'validity-not-begun',
    clause: 'RFC 5280 section 4.1.2.5',
    find: ({ tbs, now }) => unless(tbs.notBefore <= now, 'notBefore is still to come'),
  },
  {
    id: 'validity-backdated',
    clause: 'CA/B BR 7.1.2.7',
    find: ({ tbs, now }) => unless(tbs.notBefore >= now - 48 * HOUR_MS, 'notBefore is more than 48 hours back'),
  },
  {
    id: 'key-strength',
    clause: 'RFC 5480 section 2.1.1, CA/B BR 6.1.5 and 6.1.6',
    find: ({ tbs: { publicKey: key } }) => {
      if (key.kind === 'ec' || key.kind === 'ed25519') return null;
      if (key.kind !== 'rsa') return 'public key is of a kind that is not issued';
      if (key.bits < 2048 || key.bits % 8 !== 0) return `RSA modulus of ${key.bits} bits, expected at least 2048 in whole octets`;
      return unless(key.exponent % 2 === 1 && key.exponent > 65_536, 'RSA exponent is even or below 65537');
    },
  },
  {
    id: 'key-not-the-issuers',
    clause: 'RFC 5280 section 4.2.1.2',
    find: ({ tbs, issuer }) => unless(tbs.spkiSha256 !== issuer?.spkiSha256, "the key is the issuer's own"),
  },
];

/** Which curve or kind of key each algorithm belongs to; a hash shorter or longer than the curve is legal but not ours. */
const keyOf: { readonly [A in Exclude<SignatureAlgorithm, SlhDsaAlgorithm>]: string } = {
  'ecdsa-sha256': 'P-256',
  'ecdsa-sha384': 'P-384',
  'ecdsa-sha512': 'P-521',
  ed25519: 'ed25519',
  ed448: 'ed448',
  'ml-dsa-44': 'ML-DSA-44',
  'ml-dsa-65': 'ML-DSA-65',
  'ml-dsa-87': 'ML-DSA-87',
  'rsa-pkcs1-sha256': 'rsa',
  'rsa-pkcs1-sha384': 'rsa',
  'rsa-pkcs1-sha512': 'rsa',
  'rsa-pss-sha256': 'rsa',
  'rsa-pss-sha384': 'rsa',
  'rsa-pss-sha512': 'rsa',
};

function judgeAlgorithm({ tbs, issuer }: LintSubject): string | null {
  if (tbs.signatureAlgorithm === null) return 'signature algorithm is not one of ours, or its parameters are not as they must be';
  const { publicKey } = issuer ?? tbs;
  const kind = kindName(publicKey);
  const wanted: string = isSlhDsa(tbs.signatureAlgorithm) ? tbs.signatureAlgorithm : keyOf[tbs.signatureAlgorithm];
  return unless(wanted === kind, `${tbs.signatureAlgorithm} does not belong to an issuer key of kind ${kind}`);
}

function kindName(key: PublicKeyKind): string {
  if (key.kind === 'slh-dsa') return key.algorithm;
  if (key.kind === 'ml-dsa') return `ML-DSA-${key.parameterSet}`;
  return key.kind === 'ec' ? key.curve : key.kind;
}

/** Null if the rule holds, else what breaks it. */
export function unless(holds: boolean, message: string): string | null {
  return holds ? null : message;
}

/** 2050-01-01T00:00:00Z. */
const GENERALIZED_FROM = 2_524_608_000_000;
