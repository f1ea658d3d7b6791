import { type CertificateRecord, findCertificatesBySerial } from '../../control/ca/certificate-store.ts';
import { isRevocationReason, type RevocationReason } from '../../control/ca/revocation-reason.ts';
import { revokeCertificate } from '../../control/ca/revoke-certificate.ts';
import { readRevocationRequests, type RevocationDetails } from '../../core/cmp/read-bodies.ts';
import { revocationResponseNode } from '../../core/cmp/write-bodies.ts';
import type { Instant } from '../../core/time/instant.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { DerReader, equalOctets, readSmallInteger, tags } from '../../core/x509/der.ts';
import { type Name, sameName } from '../../core/x509/name.ts';
import { oids } from '../../core/x509/oid.ts';
import type { CmpAnswer } from './answer.ts';
import type { Call } from './answer-request.ts';
import type { CmpDeps } from './deps.ts';
import { logRefusal } from './log-refusal.ts';
import { CmpProblem, toCmpProblem } from './problems.ts';
import { actorOfSender, type Sender } from './sender.ts';

type RevocationDeps = Pick<CmpDeps, 'database' | 'authorityChanged' | 'refusals' | 'log'>;

/** Answers an rr (RFC 9483 section 4.2). What is refused is answered in an rp, with the certificate that it is about. */
export async function answerRevocation(deps: RevocationDeps, { message, sender }: Call, now: Instant): Promise<CmpAnswer> {
  const [details, ...others] = readRevocationRequests(message.body);
  if (details === undefined || others.length > 0) throw new CmpProblem('badRequest', 'Cannot revoke certificate: not exactly one is named');
  const { serial, issuer } = details.template;
  if (serial === null || issuer === null)
    throw new CmpProblem('badCertTemplate', 'Cannot revoke certificate: the template has no issuer or no serial number');
  try {
    await revokeNamed(deps, { details, serial, issuer, sender }, now);
    return { kind: 'rp', content: revocationResponseNode({ status: 'accepted' }, { issuer, serial }) };
  } catch (error) {
    const problem = toCmpProblem(error);
    if (problem.failure === 'systemFailure') throw problem;
    deps.log('warn', 'cmp.refused', { sender: sender.name, failure: problem.failure, reason: problem.message });
    await logRefusal(deps, { body: message.kind, problem, sender }, now);
    return { kind: 'rp', content: revocationResponseNode({ status: 'rejection', failure: problem.failure }, { issuer, serial }) };
  }
}

async function revokeNamed(
  { database, authorityChanged }: RevocationDeps,
  {
    details,
    serial,
    issuer,
    sender,
  }: { readonly details: RevocationDetails; readonly serial: Uint8Array; readonly issuer: Name; readonly sender: Sender },
  now: Instant,
): Promise<void> {
  const reason = readReason(details);
  const all = await findCertificatesBySerial(database.queries, serial);
  const record = all.find(({ der, status }) => der !== null && status === 'issued' && sameName(parseCertificate(der).issuer, issuer));
  if (record === undefined) throw new CmpProblem('badCertId', 'Cannot revoke certificate: no certificate of this issuer and serial');
  if (!mayRevoke(sender, record)) throw new CmpProblem('notAuthorized', 'Cannot revoke certificate: it is not of who asks');
  if (record.revokedAt !== null && !(reason === 'keyCompromise' && record.revocationReason !== 'keyCompromise'))
    throw new CmpProblem('certRevoked', 'Cannot revoke certificate: it is revoked already');
  await revokeCertificate({ database, changed: authorityChanged }, { ...record, reason }, actorOfSender(sender), now);
}

/**
 * A secret may revoke what it bought. A certificate may revoke itself, and others of its very names, profile and environment: what it succeeds, or what
 * succeeds it. Two without a name have no name in common.
 */
export function mayRevoke(sender: Sender, record: CertificateRecord): boolean {
  if (sender.kind === 'secret') return record.asker === sender.name && record.environment === sender.grant.environment;
  const own = sender.record;
  if (own.issuerKeySha256 === record.issuerKeySha256 && equalOctets(own.serial, record.serial)) return true;
  const isNamed = own.spiffeId !== null || own.names.dns.length > 0 || own.names.ip.length > 0;
  return isNamed && describe(own) === describe(record);
}

function describe({ environment, profile, spiffeId, names, proxyId }: CertificateRecord): string {
  return JSON.stringify([environment, profile, spiffeId, names.dns.toSorted(), names.ip.toSorted(), proxyId]);
}

/** Codes of RFC 5280 section 5.3.1, those that TLS has a use for; a device may not speak for the authority (2), nor hold (6, 8). */
function readReason({ extensions }: RevocationDetails): RevocationReason {
  const extension = extensions.find(({ oid }) => oid === oids.reasonCode);
  if (extension === undefined) return 'unspecified';
  const reader = DerReader.over(extension.value);
  const code = readSmallInteger(reader, tags.enumerated);
  reader.finish();
  const word = reasonCodes.get(code);
  if (word !== undefined && isRevocationReason(word)) return word;
  throw new CmpProblem('badRequest', `Cannot revoke certificate: reason ${code}, expected one of ${[...reasonCodes.keys()].join(', ')}`);
}

const reasonCodes = new Map<number, RevocationReason>([
  [0, 'unspecified'],
  [1, 'keyCompromise'],
  [3, 'affiliationChanged'],
  [4, 'superseded'],
  [5, 'cessationOfOperation'],
  [9, 'privilegeWithdrawn'],
]);
