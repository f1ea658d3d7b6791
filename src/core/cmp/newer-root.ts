import type { Certificate } from '../x509/certificate.ts';
import { equalOctets } from '../x509/der.ts';

/** The newest of the roots, if the one that is held (DER) is an older one of them; null: there is nothing to tell (RFC 9483 section 4.3.2). */
export function newerRoot(roots: readonly Certificate[], held: Uint8Array): Certificate | null {
  const known = roots.find(({ der }) => equalOctets(der, held));
  const [newest] = roots.toSorted((one, other) => other.notBefore - one.notBefore);
  return known !== undefined && newest !== undefined && newest.notBefore > known.notBefore ? newest : null;
}
