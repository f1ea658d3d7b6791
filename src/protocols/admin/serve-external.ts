import type { AuditedDatabase } from '../../control/audit/entry.ts';
import type { Authorities } from '../../control/ca/authorities.ts';
import { findCertificatesBySerial } from '../../control/ca/certificate-store.ts';
import { declareExternalAuthority } from '../../control/external/declare-authority.ts';
import {
  type DnsUpdate,
  dnsUpdateOf,
  type ExternalAuthorityRecord,
  type ExternalChallenge,
  webhookOf,
} from '../../control/external/external-authority.ts';
import type { ExternalOrder } from '../../control/external/external-order.ts';
import { findForeignCertificate } from '../../control/external/foreign-certificate-store.ts';
import type { ForeignCertificate } from '../../control/external/foreign-certificate.ts';
import { usualProfileOf } from '../../control/external/judge-request.ts';
import { importCertificate } from '../../control/external/import-certificate.ts';
import { requestExternalCertificate } from '../../control/external/request-certificate.ts';
import { findExternalOrder, listExternalOrders } from '../../control/external/order-store.ts';
import { findExternalAuthority, listExternalAuthorities } from '../../control/external/store.ts';
import { listEndpoints } from '../../control/inventory/store.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import { Secret } from '../../core/secrets/secret.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { KeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';
import { grantedAsker } from '../../control/ca/asker-of.ts';
import type { externalRoutes } from './external-routes.ts';
import { accepted, created, type Handlers, items, json } from './handler.ts';
import { readCsr } from './read-csr.ts';
import { showRequest } from './serve-requests.ts';

export type ExternalDeps = {
  readonly database: AuditedDatabase;
  readonly kek: KeyEncryptionKey;
  readonly region: string;
  readonly changed: Signal;
  readonly authorities: Authorities;
};

export function externalHandlers(deps: ExternalDeps): Pick<Handlers, keyof typeof externalRoutes> {
  const { database, region, authorities } = deps;
  const { queries } = database;
  return {
    'declare-external-authority': async ({ body, environment, actor, now }) => {
      const { name, directoryUrl, allowedNames, contacts = [], judgedBy = ['server'] } = body;
      const { anchorsPem = null, rootsPem = null, profile = null, preferredChain = null, bindingKeyId = null } = body;
      const settings = {
        directoryUrl,
        anchorsPem,
        rootsPem,
        contacts,
        bindingKeyId,
        allowedNames,
        judgedBy,
        profile,
        preferredChain,
        challenge: challengeOf(body),
      };
      const secrets = { bindingKey: secret(body.bindingKey), webhookToken: secret(body.webhookToken), dnsKey: secret(body.dnsKey) };
      const declaration = { environment, region, name, settings, ...secrets };
      return json(showAuthority(await declareExternalAuthority(deps, declaration, actor, now)));
    },
    'list-external-authorities': async ({ scope }) => items((await listExternalAuthorities(queries, scope)).map(showAuthority)),
    'create-external-order': async ({ body, environment, principal, actor, now }) => {
      const authority = await findExternalAuthority(queries, environment, body.authority);
      if (authority === null) throw new Problem('not-found', 'Cannot order certificate: no external authority of this name is declared');
      const csr = readCsr(body.csr);
      const renews = body.renews === undefined ? null : await findRenewed(database, body.renews, environment);
      const endpointId = await findEndpoint(database, environment, body.endpoint);
      const profile = body.profile ?? usualProfileOf(authority);
      const { dns, ip } = csr.subjectAltNames;
      const wanted = { door: 'external', profile, environment, spiffeId: null, dnsNames: dns, ipAddresses: ip } as const;
      const asked = grantedAsker(principal, wanted, csr.spkiSha256, now);
      const request = { authority, csr, profile, ...asked, askedBy: actor, renews, endpointId, approvals: null };
      const ordered = await requestExternalCertificate(deps, request, principal.tokenId, now);
      return ordered.kind === 'ordered'
        ? created(showOrder(ordered.order))
        : accepted({ request: showRequest(authorities, ordered.request, now) });
    },
    'list-external-orders': async ({ scope }) => items((await listExternalOrders(queries, scope, MAXIMUM_LISTED)).map(showOrder)),
    'show-external-order': async ({ params, demand, principal }) => {
      const order = await findExternalOrder(queries, params.orderId as EntityId<'order'>);
      // A token of another issuer is good for what it bought.
      const isHidden = principal.machine !== undefined && principal.name !== order?.askedBy.name;
      if (order === null || isHidden) throw new Problem('not-found', 'Cannot find order: there is none of this id');
      demand(order.environment);
      const newest = await findNewest(database, order);
      const pem =
        newest === null ? null : { pem: newest.chain, serial: Buffer.from(newest.serial).toString('hex'), renewAt: newest.renewAt };
      return json({ ...showOrder(order), ...(pem ?? { pem: null }) });
    },
    'import-certificate': async ({ body, environment, actor, now }) => {
      const endpointId = await findEndpoint(database, environment, body.endpoint);
      const request = { environment, region, chainPem: body.pem, rootsPem: body.rootsPem ?? null, endpointId };
      const { serialHex: serial, issuerId } = await importCertificate(deps, request, actor, now);
      return created({ serial, issuerId });
    },
  };
}

function secret(text: string | undefined): Secret | null {
  return text === undefined ? null : new Secret(text);
}

function challengeOf({
  challenge,
  webhook,
  dnsUpdate,
}: {
  readonly challenge: 'http-01' | 'dns-01';
  readonly webhook?: { readonly url: string; readonly anchorsPem?: string };
  readonly dnsUpdate?: Omit<DnsUpdate, 'port' | 'algorithm' | 'settleSeconds'> & Partial<DnsUpdate>;
}): ExternalChallenge {
  if (challenge === 'http-01' && webhook === undefined && dnsUpdate === undefined) return { kind: challenge };
  if (challenge === 'dns-01' && webhook !== undefined && dnsUpdate === undefined)
    return { kind: challenge, webhook: { url: webhook.url, anchorsPem: webhook.anchorsPem ?? null } };
  if (challenge === 'dns-01' && webhook === undefined && dnsUpdate !== undefined)
    return { kind: challenge, update: { port: 53, algorithm: 'hmac-sha256', settleSeconds: 5, ...dnsUpdate } };
  throw new Problem('input-invalid', 'Cannot declare authority: expected a webhook or dnsUpdate with dns-01, and neither with http-01');
}

async function findRenewed({ queries }: AuditedDatabase, serial: string, environment: string): Promise<ForeignCertificate> {
  for (const record of await findCertificatesBySerial(queries, Buffer.from(serial, 'hex'))) {
    const found = await findForeignCertificate(queries, record);
    if (found !== null && found.environment === environment) return found;
  }
  throw new Problem('not-found', 'Cannot renew certificate: no certificate of another CA has this serial here');
}

async function findEndpoint(
  { queries }: AuditedDatabase,
  environment: string,
  name: string | undefined,
): Promise<EntityId<'endpoint'> | null> {
  if (name === undefined) return null;
  const found = (await listEndpoints(queries, [environment])).find((endpoint) => endpoint.name === name);
  if (found === undefined) throw new Problem('not-found', 'Cannot find endpoint: none of this name is declared');
  return found.id;
}

/** Whoever holds the order's id has the certificate of its last renewal by it: the engine makes an order of its own for each. */
async function findNewest({ queries }: AuditedDatabase, order: ExternalOrder): Promise<ForeignCertificate | null> {
  let newest: ForeignCertificate | null = null;
  let next: ExternalOrder | null = order;
  for (let steps = 0; next?.certificate != null && steps < MAXIMUM_RENEWALS; steps++) {
    newest = await findForeignCertificate(queries, next.certificate);
    next = newest?.renewal == null ? null : await findExternalOrder(queries, newest.renewal);
  }
  return newest;
}

function showAuthority({ id, environment, name, settings, accountUrl, updatedAt }: ExternalAuthorityRecord): unknown {
  const { directoryUrl, contacts, bindingKeyId, allowedNames, judgedBy, profile, preferredChain, challenge } = settings;
  const [webhook, dnsUpdate] = [webhookOf(settings), dnsUpdateOf(settings)];
  const how = {
    directoryUrl,
    contacts,
    bindingKeyId,
    allowedNames,
    judgedBy,
    profile,
    preferredChain,
    challenge: challenge.kind,
    ...(webhook === null ? {} : { webhook: { url: webhook.url } }),
    ...(dnsUpdate === null ? {} : { dnsUpdate }),
  };
  return { id, environment, name, ...how, accountUrl, updatedAt };
}

function showOrder({
  id,
  authorityId,
  environment,
  profile,
  names,
  status,
  attempts,
  dueAt,
  detail,
  createdAt,
  certificate,
}: ExternalOrder) {
  const serial = certificate === null ? null : Buffer.from(certificate.serial).toString('hex');
  return { id, authorityId, environment, profile, names, status, attempts, dueAt, detail, createdAt, serial };
}

const MAXIMUM_LISTED = 200;
/** Ten years of certificates of six days. */
const MAXIMUM_RENEWALS = 1_000;
