import type { IssuingAuthority } from '../../control/ca/authorities.ts';
import { findIssued } from '../../control/ca/certificate-store.ts';
import { encodePem } from '../../core/x509/pem.ts';
import type { Account } from './account.ts';
import type { AcmeAnswer } from './answer.ts';
import type { AcmeDeps } from './deps.ts';
import { findOrder } from './order-store.ts';
import { notFound } from './problems.ts';

/** The chain of a valid order: leaf first, without the root (RFC 8555 section 7.4.2). */
export async function readCertificate(
  { database, authorities }: Pick<AcmeDeps, 'database' | 'authorities'>,
  { account, id }: { readonly account: Account; readonly id: string },
): Promise<AcmeAnswer> {
  const order = await findOrder(database.queries, id);
  // Neither time nor its authorizations change a valid order any more.
  if (order?.accountId !== account.id || order.status !== 'valid' || order.certificate === null) throw notFound();
  const { issuerKeySha256, serial } = order.certificate;
  for (const issuer of authorities.issuing) {
    const der = issuer.keySha256 === issuerKeySha256 ? await findIssued(database.queries, issuer.id, serial) : null;
    if (der === null) continue;
    const body = encodePem('CERTIFICATE', der) + issuersOf(issuer);
    return { status: 200, headers: { 'content-type': 'application/pem-certificate-chain' }, body };
  }
  throw notFound();
}

/** What follows the leaf, PEM: written once. */
function issuersOf(issuer: IssuingAuthority): string {
  const written = chains.get(issuer);
  if (written !== undefined) return written;
  const pem = issuer.chain.map((der) => encodePem('CERTIFICATE', der)).join('');
  chains.set(issuer, pem);
  return pem;
}

const chains = new WeakMap<IssuingAuthority, string>();
