import { timingSafeEqual } from 'node:crypto';
import { type CertificateRecord, findCertificatesBySerial } from '../../control/ca/certificate-store.ts';
import { findProfile } from '../../control/ca/prepare-certificate.ts';
import { findGrant } from '../../control/grants/store.ts';
import { cmpOids } from '../../core/cmp/cmp-oids.ts';
import { computeMac, type MacAlgorithm, readMacAlgorithm } from '../../core/cmp/mac-algorithm.ts';
import type { PkiMessage } from '../../core/cmp/pki-message.ts';
import { isEntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type Certificate, certificateKey, parseCertificate } from '../../core/x509/certificate.ts';
import { DerReader, equalOctets, tags } from '../../core/x509/der.ts';
import { sameName } from '../../core/x509/name.ts';
import { readOid } from '../../core/x509/oid.ts';
import { readAlgorithmIdentifier, verifySignature } from '../../core/x509/signature-algorithm.ts';
import type { CmpDeps } from './deps.ts';
import { CmpProblem } from './problems.ts';
import { secretOf } from './secret.ts';
import type { Sender } from './sender.ts';

type AuthDeps = Pick<CmpDeps, 'database' | 'authorities' | 'root'>;

/** Verifies the protection (RFC 9810 section 5.1.3): whoever it names is who sent it. Whether they may what they ask is for later. @throws CmpProblem, der-malformed */
export async function authenticate(deps: AuthDeps, message: PkiMessage, now: Instant): Promise<Sender> {
  const { protection, header } = message;
  const algorithm = header.protectionAlgorithm;
  if (protection === null || algorithm === null) throw new CmpProblem('badMessageCheck', 'Cannot read message: it is not protected');
  if (!isMac(algorithm)) return authenticateSigner(deps, message, { protection, algorithm }, now);
  const mac = readMacAlgorithm(algorithm);
  if (mac === null) throw new CmpProblem('badAlg', 'Cannot read message: its MAC has parts that are not taken');
  return authenticateSecret(deps, message, { protection, mac });
}

function isMac(algorithm: Uint8Array): boolean {
  const id = readOid(DerReader.over(algorithm).enter(tags.sequence));
  return id === cmpOids.passwordBasedMac || id === cmpOids.pbmac1;
}

/**
 * One failure for an unknown reference and a wrong secret, after the same work, so that not even how long it takes tells which references there are: the MAC is judged by
 * what is derived from the reference that is named, and only then by whether there is one.
 */
async function authenticateSecret(
  { database, root }: AuthDeps,
  message: PkiMessage,
  { protection, mac }: { readonly protection: Uint8Array; readonly mac: MacAlgorithm },
): Promise<Sender> {
  const reference = Buffer.from(message.header.senderKeyId ?? []).toString('latin1');
  const key = secretOf(root, reference);
  const expected = await computeMac(mac, Buffer.from(key.reveal()), message.protectedPart);
  const isGenuine = expected.length === protection.length && timingSafeEqual(expected, protection);
  const grant = isEntityId('token', reference) ? await findGrant(database.queries, 'cmp', reference) : null;
  if (grant === null)
    throw new CmpProblem(
      'badMessageCheck',
      `Cannot read message: no secret of this reference, and its MAC is ${isGenuine ? 'right' : 'wrong'}`,
    );
  if (!isGenuine) throw new CmpProblem('badMessageCheck', `Cannot read message: the MAC is not by the secret of ${grant.id}`);
  return { kind: 'secret', name: `cmp:${grant.id}`, grant, key, algorithm: mac };
}

async function authenticateSigner(
  deps: AuthDeps,
  message: PkiMessage,
  { protection, algorithm }: { readonly protection: Uint8Array; readonly algorithm: Uint8Array },
  now: Instant,
): Promise<Sender> {
  const known = readAlgorithmIdentifier(algorithm);
  if (known === null) throw new CmpProblem('badAlg', 'Cannot read message: its signature algorithm is not taken');
  // RFC 9483 section 3.3: the certificate that protects it comes first.
  const certificate = readCertificate(message.extraCertificates[0]);
  if (certificate === null) throw new CmpProblem('badMessageCheck', 'Cannot read message: signed without a readable certificate beside it');
  const record = await findOurs(deps, certificate);
  if (record === null) throw new CmpProblem('signerNotTrusted', `Cannot trust signer: ${certificate.serialHex} is no certificate of ours`);
  if (!verifySignature(known, certificateKey(certificate), message.protectedPart, protection))
    throw new CmpProblem('badMessageCheck', `Cannot read message: the signature is not by the key of ${certificate.serialHex}`);
  demandNamed(message, certificate);
  demandStanding(deps, record, now);
  return { kind: 'certificate', name: `cmp:certificate:${certificate.serialHex}`, record };
}

function readCertificate(der: Uint8Array | undefined): Certificate | null {
  if (der === undefined) return null;
  try {
    return parseCertificate(der);
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}

/** Ours is what we recorded, octet for octet: no chain could say more. */
async function findOurs({ database }: AuthDeps, { serial, der }: Certificate): Promise<CertificateRecord | null> {
  const all = await findCertificatesBySerial(database.queries, serial);
  return all.find((record) => record.der !== null && record.status === 'issued' && equalOctets(record.der, der)) ?? null;
}

/** RFC 9483 section 3.1: sender and senderKID are those of the certificate. */
function demandNamed({ header }: PkiMessage, { subject, subjectKeyId }: Certificate): void {
  const isNamed = header.sender !== null && sameName(header.sender, subject);
  const keyId = header.senderKeyId === null ? null : Buffer.from(header.senderKeyId).toString('hex');
  if (!isNamed || (subjectKeyId !== null && keyId !== subjectKeyId))
    throw new CmpProblem('badMessageCheck', 'Cannot read message: its sender is not the subject of the certificate that signed it');
}

/** One that ended may still be updated within the grace of its profile; that it is only that is asked where it is. */
function demandStanding({ authorities }: AuthDeps, record: CertificateRecord, now: Instant): void {
  const serial = Buffer.from(record.serial).toString('hex');
  if (record.revokedAt !== null) throw new CmpProblem('certRevoked', `Cannot trust signer: ${serial} is revoked`);
  const graceMs = findProfile(authorities, record.environment, record.profile)?.renewalGraceMs ?? 0;
  if (now < record.notBefore || now > record.notAfter + graceMs)
    throw new CmpProblem('signerNotTrusted', `Cannot trust signer: ${serial} is not valid now`);
  // What a data plane holds is known by its connection, and the listener for data planes keeps count of them.
  if (record.proxyId !== null || record.door === 'control-plane' || record.door === 'drill')
    throw new CmpProblem('notAuthorized', `Cannot trust signer: ${serial} is of a data plane, a drill or the control plane`);
}
