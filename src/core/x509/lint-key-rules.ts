import type { TbsCertificate } from './certificate.ts';
import { debianKeyDigest } from './debian-key-digest.ts';
import type { KeyUsageBit } from './extensions.ts';
import { unless } from './lint-certificate-rules.ts';
import type { LintRule } from './lint-rule.ts';
import { findRsaWeakness, type RsaWeakness } from './weak-rsa-key.ts';

/** Rules of the key beyond its size. */
export const keyRules: readonly LintRule[] = [
  {
    id: 'key-small-factor',
    clause: 'CA/B BR 6.1.6',
    find: ({ tbs }) => unless(weaknessOf(tbs) !== 'small-factor', 'the RSA modulus has a factor below 752'),
  },
  {
    id: 'key-roca',
    clause: 'CA/B BR 6.1.1.3 (4)',
    find: ({ tbs }) => unless(weaknessOf(tbs) !== 'roca', 'the RSA modulus has the fingerprint of ROCA (CVE-2017-15361)'),
  },
  {
    id: 'key-close-primes',
    clause: 'CA/B BR 6.1.1.3 (5)',
    find: ({ tbs }) => unless(weaknessOf(tbs) !== 'close-primes', "the primes are found by a hundred rounds of Fermat's method"),
  },
  {
    id: 'key-debian',
    clause: 'CA/B BR 6.1.1.3 (3)',
    find: ({ tbs: { publicKey, keyOctets }, blockedKeys }) => {
      if (publicKey.kind !== 'rsa' || !blockedKeys || blockedKeys.size === 0) return null;
      return unless(!blockedKeys.has(debianKeyDigest(keyOctets)), 'the key is one of those that a broken generator made (CVE-2008-0166)');
    },
  },
  {
    id: 'key-usage-ml-dsa',
    clause: 'RFC 9881 section 5, RFC 9909 section 6',
    find: ({ tbs: { publicKey, keyUsage } }) => {
      if ((publicKey.kind !== 'ml-dsa' && publicKey.kind !== 'slh-dsa') || keyUsage === null) return null;
      if (!signing.some((bit) => keyUsage.has(bit))) return 'an ML-DSA or SLH-DSA key that signs nothing';
      return unless(!enciphering.some((bit) => keyUsage.has(bit)), 'an ML-DSA or SLH-DSA key neither enciphers nor agrees');
    },
  },
  {
    id: 'key-usage-ml-kem',
    clause: 'RFC 9935 section 5',
    find: ({ tbs: { publicKey, keyUsage } }) =>
      unless(
        publicKey.kind !== 'ml-kem' || keyUsage === null || (keyUsage.size === 1 && keyUsage.has('keyEncipherment')),
        'an ML-KEM key with another usage than keyEncipherment',
      ),
  },
  {
    id: 'key-blocked',
    clause: 'CA/B BR 6.1.1.3 (3), 4.9.1.1',
    find: ({ tbs, blockedKeys }) => unless(blockedKeys?.has(tbs.spkiSha256) !== true, 'the key is blocked: it is known to others'),
  },
];

/** Found once a key: four rules ask, and the same key comes again at each renewal. */
function weaknessOf({ publicKey, keyOctets, spkiSha256 }: TbsCertificate): RsaWeakness | null {
  if (publicKey.kind !== 'rsa' || publicKey.bits > MAX_BITS) return null;
  const kept = known.get(spkiSha256);
  if (kept !== undefined) return kept;
  const weakness = findRsaWeakness(keyOctets);
  if (known.size >= MAX_KEPT) known.clear();
  known.set(spkiSha256, weakness);
  return weakness;
}

const signing: readonly KeyUsageBit[] = ['digitalSignature', 'nonRepudiation', 'keyCertSign', 'cRLSign'];
const enciphering: readonly KeyUsageBit[] = ['keyEncipherment', 'dataEncipherment', 'keyAgreement', 'encipherOnly', 'decipherOnly'];
const known = new Map<string, RsaWeakness | null>();
const MAX_KEPT = 1_024;
/** Beyond this the key is refused for its size, and the search would cost too much. */
const MAX_BITS = 16_384;
