import { DerReader, hexOf, readInteger, tags } from './der.ts';

/** Ways in which an RSA modulus can be weak while its size is right (CA/B BR 6.1.1.3, 6.1.6). */
export type RsaWeakness = 'small-factor' | 'roca' | 'close-primes';

/**
 * Looks for what is known to break RSA keys: a factor below 752, the fingerprint of ROCA (CVE-2017-15361), and primes so close together
 * that a hundred rounds of Fermat's method find them (CVE-2022-26320).
 * @param keyOctets DER of RSAPublicKey (RFC 8017 appendix A.1.1)
 * @throws der-malformed
 */
export function findRsaWeakness(keyOctets: Uint8Array): RsaWeakness | null {
  const modulus = readModulus(keyOctets);
  if (SMALL_PRIMES.some((prime) => modulus % prime === 0n)) return 'small-factor';
  if (hasRocaFingerprint(modulus)) return 'roca';
  return hasClosePrimes(modulus) ? 'close-primes' : null;
}

function readModulus(keyOctets: Uint8Array): bigint {
  const modulus = readInteger(DerReader.over(keyOctets).enter(tags.sequence));
  return BigInt(`0x${hexOf(modulus)}`);
}

/**
 * Primes of the flawed library are `k * M + (65537^a mod M)`, M a product of small primes, so that modulo each of these the modulus is a
 * power of 65537 (Nemec and others, "The Return of Coppersmith's Attack", 2017, section 3). Chance does it once in 2^27 keys at most.
 */
function hasRocaFingerprint(modulus: bigint): boolean {
  return rocaResidues.every(([prime, powers]) => powers.has(modulus % prime));
}

/** Fermat: `n = a^2 - b^2` with a next to the root of n. */
function hasClosePrimes(modulus: bigint): boolean {
  let a = squareRoot(modulus);
  if (a * a < modulus) a += 1n;
  for (let round = 0; round < FERMAT_ROUNDS; round++, a += 1n) {
    const difference = a * a - modulus;
    // Squares are 0, 1, 4 or 9 modulo 16: three in four differences need no root.
    if (!squaresModulo16.has(difference & 15n)) continue;
    const b = squareRoot(difference);
    if (b * b === difference) return true;
  }
  return false;
}

/** The integer below or at the square root (Newton from above). */
function squareRoot(value: bigint): bigint {
  if (value < 2n) return value;
  let root = 1n << BigInt((value.toString(16).length * 4 + 1) >> 1);
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

function primesBelow(limit: number): number[] {
  const primes: number[] = [];
  for (let n = 2; n < limit; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return primes;
}

function powersOf65537(prime: number): ReadonlySet<bigint> {
  const powers = new Set<bigint>();
  for (let power = 1; !powers.has(BigInt(power)); power = (power * 65_537) % prime) powers.add(BigInt(power));
  return powers;
}

const FERMAT_ROUNDS = 100;
const SMALL_PRIMES: readonly bigint[] = primesBelow(752).map(BigInt);
const squaresModulo16: ReadonlySet<bigint> = new Set([0n, 1n, 4n, 9n]);
/** The primes of M for the smallest keys; larger keys have more, so that these are in every M. */
const rocaResidues = primesBelow(168)
  .slice(1)
  .map((prime) => [BigInt(prime), powersOf65537(prime)] as const);
