import { findCertificate } from '../../control/ca/certificate-store.ts';
import type { IssuanceRequest } from '../../control/ca/issuance-request.ts';
import { renewByCertificate } from '../../control/ca/renew-by-certificate.ts';
import { requestCertificate } from '../../control/ca/request-certificate.ts';
import { findWithdrawn } from '../../control/ca/standing.ts';
import { findWaiting } from '../../control/ca/waiting-store.ts';
import { askerOfGrant } from '../../control/grants/asker-of-grant.ts';
import { claimGrant, findGrantFault } from '../../control/grants/claim-grant.ts';
import { boundsOf, type DoorGrant } from '../../control/grants/door-grant.ts';
import { fileGrant, findUsedGrant, settleGrant } from '../../control/grants/store.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type CertificateRequest, parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { equalOctets } from '../../core/x509/der.ts';
import type { Outcome } from './cert-rep.ts';
import { findChallenge } from './challenge.ts';
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
  const { queries } = deps.database;
  const grant = await findChallenge(queries, csr.challengePassword ?? '');
  if (grant === null) throw new ScepRefusal('badRequest', 'no such challenge');
  const { transactionId } = message;
  // RFC 8894 section 3.3.1: an answer that was lost is asked for again.
  if (grant.lastUse?.spkiSha256 === csr.spkiSha256 && grant.lastUse.by === transactionId) return outcomeOf(deps, grant, opened, now);
  const fault = await findGrantFault(queries, grant, now);
  if (fault !== null) throw new ScepRefusal('badRequest', `challenge ${grant.id}: ${fault}`);
  const requested = await requestCertificate(deps, orderOf(grant, { csr, transactionId }, now), grant.maker?.tokenId ?? null, now);
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
  const grant = await findUsedGrant(deps.database.queries, 'scep', { spkiSha256: sender.spkiSha256, by: transactionId });
  if (grant === null) throw new ScepRefusal('badCertId', 'this key asked for nothing in this transaction');
  return outcomeOf(deps, grant, { cipher }, now);
}

async function outcomeOf(
  { database, authorities }: ScepDeps,
  { id, lastUse }: DoorGrant,
  { cipher }: Pick<OpenedMessage, 'cipher'>,
  now: Instant,
): Promise<Outcome> {
  const { queries } = database;
  const { requestId = null } = lastUse ?? {};
  const request = requestId === null ? null : await findWaiting(queries, requestId);
  if (request?.status === 'waiting' || request?.status === 'signing') return { kind: 'waiting' };
  const certificate = request === null ? (lastUse?.certificate ?? null) : request.certificate;
  if (certificate === null) throw new ScepRefusal('badRequest', `challenge ${id}: the request was ${request?.status ?? 'given up'}`);
  const record = await findCertificate(queries, certificate.issuerKeySha256, certificate.serial);
  const withdrawn = record === null ? ['it has no certificate'] : await findWithdrawn(queries, record, now);
  if (record?.der == null || withdrawn.length > 0) throw new ScepRefusal('badRequest', `challenge ${id}: ${withdrawn.join('; ')}`);
  const issuer = authorities.issuing.find(({ keySha256 }) => keySha256 === certificate.issuerKeySha256);
  return { kind: 'issued', certificates: [record.der, ...(issuer?.chain ?? [])], cipher };
}

function orderOf(
  grant: DoorGrant,
  { csr, transactionId }: { readonly csr: CertificateRequest; readonly transactionId: string },
  now: Instant,
): IssuanceRequest {
  const { id, door, environment, region, maker } = grant;
  const { profile, spiffeId, names } = boundsOf(grant);
  const name = `scep:${id}`;
  return {
    door: 'scep',
    profile,
    // Profiles that name their askers know who made the challenge: who uses it has no say.
    asker: askerOfGrant(grant, maker?.name ?? name),
    actor: { kind: 'machine', name },
    csr,
    spiffeId,
    names,
    proxyId: null,
    environment,
    region,
    note: { scep: transactionId, challenge: id },
    claim: async (unit) => {
      const fault = await claimGrant(unit, { id, door, by: transactionId, spkiSha256: csr.spkiSha256 }, now);
      if (fault !== null) throw new ScepRefusal('badRequest', `challenge ${id}: ${fault}`);
    },
    filed: (unit, waiting) => fileGrant(unit.queries, id, waiting.id),
    settle: (unit, certificate) => settleGrant(unit.queries, id, certificate),
  };
}

function readRequest({ content }: OpenedMessage): CertificateRequest {
  return readOpened(() => parseCertificateRequest(content));
}
