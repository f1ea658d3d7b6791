import { createHash } from 'node:crypto';
import { recordEntry } from '../../control/audit/record-entry.ts';
import { type CertificateRecord, findCertificate } from '../../control/ca/certificate-store.ts';
import { revoke } from '../../control/ca/revoke-certificate.ts';
import { type CertificateStatusItem, readConfirmations } from '../../core/cmp/read-bodies.ts';
import { confirmationNode } from '../../core/cmp/write-bodies.ts';
import type { Instant } from '../../core/time/instant.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { DerReader, equalOctets, tags } from '../../core/x509/der.ts';
import { oids, readOid } from '../../core/x509/oid.ts';
import { signatureParameters } from '../../core/x509/signature-algorithm.ts';
import type { CmpAnswer } from './answer.ts';
import type { Call } from './answer-request.ts';
import type { CmpDeps } from './deps.ts';
import { openTransaction } from './open-transaction.ts';
import { CmpProblem } from './problems.ts';
import { actorOfSender } from './sender.ts';
import { type CmpTransaction, endTransaction } from './transaction-store.ts';

type ConfirmDeps = Pick<CmpDeps, 'database' | 'authorityChanged'>;

/**
 * Answers a certConf (RFC 9810 section 5.3.18): the device took its certificate, or did not, and then it is revoked. A confirmation of another certificate
 * changes nothing: the one that was issued is revoked when its time is over.
 */
export async function confirmCertificate(deps: ConfirmDeps, call: Call, now: Instant): Promise<CmpAnswer> {
  const transaction = await openTransaction(deps, call);
  if (transaction.state.kind !== 'issued') throw new CmpProblem('badRequest', 'Cannot confirm certificate: none was issued yet');
  const { issuerKeySha256, serial } = transaction.state.certificate;
  const record = await findCertificate(deps.database.queries, issuerKeySha256, serial);
  if (record?.der == null) throw new CmpProblem('badRequest', 'Cannot confirm certificate: there is none');
  const [item, ...others] = readConfirmations(call.message.body);
  if (others.length > 0) throw new CmpProblem('badRequest', 'Cannot confirm certificate: several are named, expected one');
  // No item at all rejects whatever was issued.
  const isTaken = item !== undefined && judgeItem(item, transaction, record.der);
  await (isTaken ? accept(deps, { call, transaction, record }, now) : reject(deps, { call, transaction, record }, now));
  return { kind: 'pkiconf', content: confirmationNode() };
}

/** False: the device rejects it. @throws CmpProblem unless it is about this certificate */
function judgeItem(
  { requestId, hash, hashAlgorithm, status }: CertificateStatusItem,
  { requestNumber }: CmpTransaction,
  der: Uint8Array,
): boolean {
  // OpenSSL numbers a PKCS#10 request 0, which has no number.
  if (requestId !== requestNumber && !(requestNumber === -1 && requestId === 0))
    throw new CmpProblem('badRequest', `Cannot confirm certificate: request ${requestId}, expected ${requestNumber}`);
  if (!equalOctets(createHash(hashOf(hashAlgorithm, der)).update(der).digest(), hash))
    throw new CmpProblem('badCertId', 'Cannot confirm certificate: the hash is of another one');
  return status === null || status.status === 'accepted' || status.status === 'grantedWithMods';
}

/** The hash that is named (RFC 9810, version 3), else that of the certificate's own signature; SHA-512 where that has none (RFC 9481 section 3.3). */
function hashOf(named: Uint8Array | null, der: Uint8Array): 'sha256' | 'sha384' | 'sha512' {
  if (named === null) {
    const { signatureAlgorithm } = parseCertificate(der);
    return (signatureAlgorithm && signatureParameters(signatureAlgorithm).hash) ?? 'sha512';
  }
  const known = hashes.get(readOid(DerReader.over(named).enter(tags.sequence)));
  if (known === undefined) throw new CmpProblem('badAlg', 'Cannot confirm certificate: its hash is by an algorithm that is not taken');
  return known;
}

type Confirmed = { readonly call: Call; readonly transaction: CmpTransaction; readonly record: CertificateRecord };

async function accept({ database }: ConfirmDeps, { call, transaction, record }: Confirmed, now: Instant): Promise<void> {
  const { environment, region, issuerId } = record;
  await database.commit(async (unit) => {
    if (!(await endTransaction(unit.queries, transaction, now))) throw ended();
    const data = { door: record.door, issuerId, serial: Buffer.from(record.serial).toString('hex') };
    recordEntry(unit, { type: 'certificate.confirmed', at: now, environment, region, actor: actorOfSender(call.sender), data });
  });
}

async function reject({ database, authorityChanged }: ConfirmDeps, { call, transaction, record }: Confirmed, now: Instant): Promise<void> {
  await database.commitFenced(async (unit) => {
    if (!(await endTransaction(unit.queries, transaction, now))) throw ended();
    if (record.revokedAt === null) await revoke(unit, { ...record, reason: 'cessationOfOperation' }, actorOfSender(call.sender), now);
  });
  authorityChanged.notify();
}

function ended(): CmpProblem {
  return new CmpProblem('certConfirmed', 'Cannot confirm certificate: the transaction has ended meanwhile');
}

const hashes = new Map<string, 'sha256' | 'sha384' | 'sha512'>([
  [oids.sha256, 'sha256'],
  [oids.sha384, 'sha384'],
  [oids.sha512, 'sha512'],
]);
