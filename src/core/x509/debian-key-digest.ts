import { hash } from 'node:crypto';
import { DerReader, hexOf, readInteger, tags } from './der.ts';

/**
 * What the lists of Debian's weak keys hold of a key (CVE-2008-0166): the last 20 hex digits of SHA-1 over the line in which openssl shows
 * the modulus. Which sizes, programs and machines are known depends on the lists alone.
 * @param keyOctets DER of RSAPublicKey (RFC 8017 appendix A.1.1)
 * @throws der-malformed
 */
export function debianKeyDigest(keyOctets: Uint8Array): string {
  const modulus = readInteger(DerReader.over(keyOctets).enter(tags.sequence));
  const magnitude = modulus[0] === 0 ? modulus.subarray(1) : modulus;
  return hash('sha1', `Modulus=${hexOf(magnitude).toUpperCase()}\n`, 'hex').slice(20);
}
