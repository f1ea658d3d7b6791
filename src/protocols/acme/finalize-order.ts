import type { CertificateKey } from '../../control/ca/certificate-store.ts';
import { IssuanceRefused } from '../../control/ca/issuance-refused.ts';
import type { IssuanceRequest } from '../../control/ca/issuance-request.ts';
import { issueCertificate } from '../../control/ca/issue-certificate.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type CertificateRequest, parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { oids } from '../../core/x509/oid.ts';
import type { Queries } from '../../platform/db/database.ts';
import { type Account, actorOfAccount } from './account.ts';
import { type AcmeAnswer, jsonAnswer } from './answer.ts';
import { type Authorization, orderedName } from './authorization.ts';
import { accountKey } from './authenticate.ts';
import { decodeBase64url } from './base64url.ts';
import type { AcmeDeps } from './deps.ts';
import { spkiSha256Of } from './jwk.ts';
import { type Order, type OrderStatus, orderStatus, viewOrder } from './order.ts';
import { beginIssuance, endIssuance } from './order-store.ts';
import { AcmeProblem, malformed, toAcmeProblem, toDocument } from './problems.ts';
import { profileOfOrder } from './profiles.ts';
import { ownOrder } from './read-order.ts';

type FinalizeDeps = Pick<AcmeDeps, 'database' | 'authorities' | 'urls'>;
type FinalizeCall = { readonly account: Account; readonly id: string; readonly payload: { readonly [name: string]: unknown } | null };

/**
 * Issues for a ready order (RFC 8555 section 7.4) through the one door. The order leaves `ready` in the commit that reserves the serial and becomes
 * `valid` in the one that records the certificate, so that of two requests one is told orderNotReady, and no crash leaves the two apart.
 */
export async function finalizeOrder(deps: FinalizeDeps, { account, id, payload }: FinalizeCall, now: Instant): Promise<AcmeAnswer> {
  const { database, authorities, urls } = deps;
  const { order, authorizations } = await ownOrder(database.queries, account, id);
  demandReady(orderStatus(now, order, authorizations));
  const csr = readCsr(payload, order, account);
  let certificate: CertificateKey;
  try {
    certificate = await issueCertificate({ database, authorities }, requestOf({ order, authorizations, account, csr }, now), now);
  } catch (error) {
    throw await refuse(deps, order, error);
  }
  // As it stands since the commit that recorded the certificate.
  return jsonAnswer(200, viewOrder(now, { ...order, status: 'valid', certificate }, authorizations, urls), { location: urls.order(id) });
}

function requestOf(
  {
    order,
    authorizations,
    account,
    csr,
  }: {
    readonly order: Order;
    readonly authorizations: readonly Authorization[];
    readonly account: Account;
    readonly csr: CertificateRequest;
  },
  now: Instant,
): IssuanceRequest {
  const { identifiers, environment, region } = order;
  const names = (type: 'dns' | 'ip'): string[] => identifiers.filter((identifier) => identifier.type === type).map(({ value }) => value);
  return {
    door: 'acme',
    profile: profileOfOrder(order.profile),
    asker: {
      role: account.binding?.role ?? 'acme-account',
      scope: [account.environment],
      spiffeId: null,
      name: actorOfAccount(account).name,
      provenNames: authorizations.filter(({ status }) => status === 'valid').map(orderedName),
    },
    actor: actorOfAccount(account),
    csr,
    spiffeId: null,
    names: { dns: names('dns'), ip: names('ip') },
    proxyId: null,
    environment,
    region,
    note: { orderId: order.id, accountId: account.id },
    claim: (unit) => claimOrder(unit.queries, order, account, now),
    settle: (unit, certificate) => endIssuance(unit.queries, order.id, { certificate }),
  };
}

/** In the reserving commit: the order is still ready, with what it rests on, and is nobody's but ours from here. */
async function claimOrder(queries: Queries, read: Order, account: Account, now: Instant): Promise<void> {
  if (await beginIssuance(queries, read, now)) return;
  const { order, authorizations } = await ownOrder(queries, account, read.id);
  demandReady(orderStatus(now, order, authorizations));
  throw new AcmeProblem('orderNotReady', 'Cannot finalize order: it is being finalized');
}

function demandReady(status: OrderStatus): void {
  if (status !== 'ready') throw new AcmeProblem('orderNotReady', `Cannot finalize order: it is ${status}, expected ready`);
}

/** @throws malformed, badCSR: the order stays ready */
function readCsr(payload: FinalizeCall['payload'], { identifiers }: Order, account: Account): CertificateRequest {
  const text = payload?.['csr'];
  const der = typeof text === 'string' ? decodeBase64url(text) : null;
  if (der === null) throw malformed('csr is not base64url without padding');
  const csr = parseCertificateRequest(der);
  const { dns, ip, uri, email, directory, other } = csr.subjectAltNames;
  if (uri.length + email.length + directory.length + other.length > 0)
    throw badCsr('it asks for names that are neither DNS names nor addresses');
  const common = csr.subject.rdns.flat().flatMap(({ type, value }) => (type === oids.commonName && value ? [value.toLowerCase()] : []));
  const asked = new Set([...dns.map((name) => name.toLowerCase()), ...ip, ...common]);
  const ordered = new Set(identifiers.map(({ value }) => value));
  if (asked.size !== ordered.size || [...asked].some((name) => !ordered.has(name))) {
    throw badCsr('its names are not exactly those of the order');
  }
  // RFC 8555 section 11.1: whoever holds the certificate's key must not hold the account with it.
  if (csr.spkiSha256 === spkiSha256Of(accountKey(account))) throw badCsr("its key is the account's own");
  return csr;
}

function badCsr(what: string): AcmeProblem {
  return new AcmeProblem('badCSR', `Cannot use CSR: ${what}`);
}

/** What policy refused before the reservation leaves the order ready; what failed after it makes the order invalid. */
async function refuse({ database }: FinalizeDeps, { id }: Order, error: unknown): Promise<unknown> {
  const problem = error instanceof IssuanceRefused ? refusalOf(error) : error;
  const told = toAcmeProblem(problem);
  if (told.type !== 'orderNotReady') await database.commit((unit) => endIssuance(unit.queries, id, { error: toDocument(told) }));
  return problem;
}

/** The first word of a reason is the rule that it breaks. */
function refusalOf({ reasons, message }: IssuanceRefused): AcmeProblem {
  const about = (...words: readonly string[]): boolean => reasons.every((reason) => words.some((word) => reason.startsWith(word)));
  if (about('key:', 'csr-names:', 'the key is known')) return new AcmeProblem('badCSR', message);
  return new AcmeProblem(about('names:', 'constraints:') ? 'rejectedIdentifier' : 'unauthorized', message);
}
