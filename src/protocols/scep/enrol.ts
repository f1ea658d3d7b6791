import { findCertificate } from '../../control/ca/certificate-store.ts';
import type { IssuanceRequest } from '../../control/ca/issuance-request.ts';
import { renewByCertificate } from '../../control/ca/renew-by-certificate.ts';
import { requestCertificate } from '../../control/ca/request-certificate.ts';
import { findWithdrawn } from '../../control/ca/standing.ts';
import { findWaiting } from '../../control/ca/waiting-store.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type CertificateRequest, parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { equalOctets } from '../../core/x509/der.ts';
import type { Outcome } from './cert-rep.ts';
import { type Challenge, fileChallenge, findUsed, settleChallenge } from './challenge-store.ts';
import { claimChallenge, findChallenge, findFault } from './challenge.ts';
import type { ScepDeps } from './deps.ts';
import { cipherOfMessage, notOpened, openMessage, type OpenedMessage, readOpened } from './open-message.ts';
import type { PkiMessage } from './pki-message.ts';
import { ScepRefusal } from './problems.ts';

/** A certificate for who has a challenge that is good (RFC 8894 section 3.3.1): for the names that it was made for, whatever fewer of them the CSR asks for. */
export async function enrol(deps: ScepDeps, message: PkiMessage, now: Instant): Promise<Outcome> {
  const opened = openMessage(deps, message, now);
  const csr = readRequest(opened);
  // Who signs has to hold the key that is certified; only then is anything looked up.
  if (!equalOctets(csr.spki, message.sender.spki)) throw notOpened('the signer has another key than the CSR');
  const challenge = await findChallenge(deps.database, csr.challengePassword ?? '');
  if (challenge === null) throw new ScepRefusal('badRequest', 'no such challenge');
  const { transactionId } = message;
  // RFC 8894 section 3.3.1: an answer that was lost is asked for again.
  if (challenge.usedAt !== null && challenge.spkiSha256 === csr.spkiSha256 && challenge.transactionId === transactionId)
    return outcomeOf(deps, challenge, opened, now);
  const fault = await findFault(deps.database, challenge, now);
  if (fault !== null) throw new ScepRefusal('badRequest', `challenge ${challenge.id}: ${fault}`);
  const requested = await requestCertificate(deps, orderOf(challenge, { csr, transactionId }, now), challenge.tokenId, now);
  if (requested.kind === 'waiting') return { kind: 'waiting' };
  return { kind: 'issued', certificates: requested.certificate.chain, cipher: opened.cipher };
}

/** A successor for the certificate by which the message was signed (RFC 8894 section 3.3.1.2), through the same use case as every renewal by its holder. */
export async function renew(deps: ScepDeps, message: PkiMessage, now: Instant): Promise<Outcome> {
  const opened = openMessage(deps, message, now);
  const csr = readRequest(opened);
  const refused = (reason: string, detail: string): void => deps.log('warn', 'scep.refused', { type: message.type, reason, detail });
  const note = { scep: message.transactionId };
  const { chain } = await renewByCertificate({ ...deps, refused }, { chain: [message.sender.der], csr, usage: 'signer', note }, now);
  return { kind: 'issued', certificates: chain, cipher: opened.cipher };
}

/** What became of what this key asked for in this transaction (RFC 8894 section 3.3.3). */
export async function poll(deps: ScepDeps, message: PkiMessage, now: Instant): Promise<Outcome> {
  const cipher = cipherOfMessage(deps, message, now);
  const { transactionId, sender } = message;
  const challenge = await findUsed(deps.database.queries, { spkiSha256: sender.spkiSha256, transactionId });
  if (challenge === null) throw new ScepRefusal('badCertId', 'this key asked for nothing in this transaction');
  return outcomeOf(deps, challenge, { cipher }, now);
}

async function outcomeOf(
  { database, authorities }: ScepDeps,
  challenge: Challenge,
  { cipher }: Pick<OpenedMessage, 'cipher'>,
  now: Instant,
): Promise<Outcome> {
  const { queries } = database;
  const request = challenge.requestId === null ? null : await findWaiting(queries, challenge.requestId);
  if (request?.status === 'waiting' || request?.status === 'signing') return { kind: 'waiting' };
  const certificate = request === null ? challenge.certificate : request.certificate;
  if (certificate === null)
    throw new ScepRefusal('badRequest', `challenge ${challenge.id}: the request was ${request?.status ?? 'given up'}`);
  const record = await findCertificate(queries, certificate.issuerKeySha256, certificate.serial);
  const withdrawn = record === null ? ['it has no certificate'] : await findWithdrawn(queries, record, now);
  if (record?.der == null || withdrawn.length > 0)
    throw new ScepRefusal('badRequest', `challenge ${challenge.id}: ${withdrawn.join('; ')}`);
  const issuer = authorities.issuing.find(({ keySha256 }) => keySha256 === certificate.issuerKeySha256);
  return { kind: 'issued', certificates: [record.der, ...(issuer?.chain ?? [])], cipher };
}

function orderOf(
  { id, environment, region, profile, spiffeId, names, maker, makerRole }: Challenge,
  { csr, transactionId }: { readonly csr: CertificateRequest; readonly transactionId: string },
  now: Instant,
): IssuanceRequest {
  return {
    door: 'scep',
    profile,
    // What may be asked for is for who made the challenge to ask; who uses it has no say.
    asker: { role: makerRole, scope: [environment], spiffeId: null, name: maker },
    actor: { kind: 'machine', name: `scep:${id}` },
    csr,
    spiffeId,
    names,
    proxyId: null,
    environment,
    region,
    note: { scep: transactionId, challenge: id },
    claim: (unit) => claimChallenge(unit, { id, spkiSha256: csr.spkiSha256, transactionId }, now),
    filed: (unit, waiting) => fileChallenge(unit.queries, id, waiting.id),
    settle: (unit, certificate) => settleChallenge(unit.queries, id, certificate),
  };
}

function readRequest({ content }: OpenedMessage): CertificateRequest {
  return readOpened(() => parseCertificateRequest(content));
}
