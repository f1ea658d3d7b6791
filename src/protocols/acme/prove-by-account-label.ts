import { createHash } from 'node:crypto';
import type { Authorization } from './authorization.ts';
import type { KeyAuthorization, Proof, ProofDeps, ProofParties } from './proof.ts';
import { proveByText } from './prove-by-dns.ts';

/**
 * dns-account-01 (draft-ietf-acme-dns-account-label-01 section 3): as dns-01, below a label of the account's own, so that several accounts can be
 * delegated to at once.
 */
export async function proveByAccountLabel(
  { resolver, accountUrl }: Pick<ProofDeps, 'resolver'> & Pick<ProofParties, 'accountUrl'>,
  { identifier }: Pick<Authorization, 'identifier'>,
  expected: KeyAuthorization,
): Promise<Proof> {
  return proveByText(resolver, `${accountLabel(accountUrl)}._acme-challenge.${identifier.value}`, expected);
}

/** `"_" || base32(SHA-256(account URL)[0:10])`, in lower case: 16 characters and the underscore. */
export function accountLabel(accountUrl: string): string {
  const digest = createHash('sha256').update(accountUrl).digest().subarray(0, LABEL_OCTETS);
  const bits = [...digest].map((octet) => octet.toString(2).padStart(8, '0')).join('');
  return `_${bits.replaceAll(/.{5}/g, (five) => BASE32[Number.parseInt(five, 2)]!)}`;
}

/** RFC 4648 section 6; names are compared in lower case. */
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';
const LABEL_OCTETS = 10;
