/** Every parameter set of SLH-DSA (FIPS 205) as node:crypto calls them, in the order of their identifiers (RFC 9909 section 3). */
export const slhDsaAlgorithms = [
  'slh-dsa-sha2-128s',
  'slh-dsa-sha2-128f',
  'slh-dsa-sha2-192s',
  'slh-dsa-sha2-192f',
  'slh-dsa-sha2-256s',
  'slh-dsa-sha2-256f',
  'slh-dsa-shake-128s',
  'slh-dsa-shake-128f',
  'slh-dsa-shake-192s',
  'slh-dsa-shake-192f',
  'slh-dsa-shake-256s',
  'slh-dsa-shake-256f',
] as const;
export type SlhDsaAlgorithm = (typeof slhDsaAlgorithms)[number];

/** Whether a signature algorithm is one of them. */
export function isSlhDsa(algorithm: string): algorithm is SlhDsaAlgorithm {
  return algorithm.startsWith('slh-dsa-');
}

/** The identifier of key and signature alike: pure SLH-DSA, parameters absent. */
export function slhDsaOid(algorithm: SlhDsaAlgorithm): string {
  return `${ARC}${FIRST + slhDsaAlgorithms.indexOf(algorithm)}`;
}

/** Null for every other identifier. */
export function slhDsaOf(oid: string): SlhDsaAlgorithm | null {
  return oid.startsWith(ARC) ? (slhDsaAlgorithms[Number(oid.slice(ARC.length)) - FIRST] ?? null) : null;
}

/** Octets of a public key: twice the security parameter n (FIPS 205 section 9.1). */
export function slhDsaKeyOctets(algorithm: SlhDsaAlgorithm): number {
  return Number(algorithm.slice(-4, -1)) / 4;
}

/** sigAlgs of NIST. */
const ARC = '2.16.840.1.101.3.4.3.';
const FIRST = 20;
