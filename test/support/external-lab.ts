import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { declareExternalAuthority } from '../../src/control/external/declare-authority.ts';
import type { ExternalAuthorityRecord, ExternalAuthoritySettings } from '../../src/control/external/external-authority.ts';
import { usualProfileOf } from '../../src/control/external/judge-request.ts';
import { DeclaredProfiles } from '../../src/control/policies/declared-profiles.ts';
import { listProfiles, upsertProfile } from '../../src/control/policies/profile-store.ts';
import { parseProfileSpec } from '../../src/core/issuance/parse-profile-spec.ts';
import type { AskerRole, ProfileName } from '../../src/core/issuance/profile.ts';
import { profileDigest } from '../../src/core/issuance/profile-spec.ts';
import { newEntityId } from '../../src/platform/ids/new-entity-id.ts';
import type { ExternalOrder } from '../../src/control/external/external-order.ts';
import { OrderDriver } from '../../src/control/external/order-driver.ts';
import type { OrderRequest } from '../../src/control/external/order-certificate.ts';
import { type Ordered, requestExternalCertificate } from '../../src/control/external/request-certificate.ts';
import { findExternalOrder } from '../../src/control/external/order-store.ts';
import { Secret } from '../../src/core/secrets/secret.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../../src/core/x509/certificate-request.ts';
import { encodePem } from '../../src/core/x509/pem.ts';
import { makeSignal } from '../../src/platform/clock/signal.ts';
import { makeNameResolver } from '../../src/platform/network/name-resolver.ts';
import { parseOutsidePolicy } from '../../src/platform/network/outside-policy.ts';
import { serveChallenge } from '../../src/protocols/challenges/serve-challenge.ts';
import { ada, openTestAuthorities, place } from './authorities.ts';
import { startDnsServer } from './dns-server.ts';
import { makeTestAuthority } from './test-authority.ts';

export type ExternalLab = AsyncDisposable & Awaited<ReturnType<typeof openExternalLab>>;

/** The client of other CAs over a real database, with what stands around it: a DNS, the listener of http-01, and a webhook that sets records. */
export async function openExternalLab(url: string, options: { readonly reopen?: Parameters<typeof openTestAuthorities>[2] } = {}) {
  const stack = new AsyncDisposableStack();
  let offset = 0;
  // Other programs keep the real time, so ours runs with it and may only be set ahead.
  const clock = { now: () => Date.now() + offset };
  const ca = stack.use(await openTestAuthorities(url, clock.now(), { crlBaseUrl: null, ...options.reopen }));
  const dns = stack.use(await startDnsServer());
  for (const name of ['www.acme.test', 'api.acme.test', 'acme.test']) dns.records.set(name, [{ type: 'A', address: '127.0.0.1' }]);
  const web = createServer((request, response) => void serveChallenge({ queries: ca.database.queries }, request, response));
  const httpPort = await listening(web);
  stack.defer(() => void (web.closeAllConnections(), web.close()));
  const webhook = await startWebhook(dns.records);
  stack.defer(() => webhook.stop());
  const logged: { readonly event: string; readonly fields: { readonly [name: string]: unknown } }[] = [];
  const changed = makeSignal();
  const profiles = new DeclaredProfiles();
  const authorities = { ...ca.authorities, profiles, reservedNames: ['cs.own.test'], blockedKeys: new Set<string>() };
  const deps = {
    database: ca.database,
    kek: ca.kek,
    clock,
    resolver: makeNameResolver([dns.address]),
    policy: parseOutsidePolicy(['127.0.0.0/8'], () => []),
    log: (_level: string, event: string, fields: object = {}) => void logged.push({ event, fields: { ...fields } }),
    changed,
    authorities,
  };
  const ask = (
    authority: ExternalAuthorityRecord,
    dnsNames: readonly string[],
    change: Partial<OrderRequest> & { readonly role?: AskerRole; readonly key?: KeyObject; readonly ipAddresses?: readonly string[] } = {},
  ): Promise<Ordered> => {
    const { key = newKey(), ipAddresses = [], role = 'ci', ...rest } = change;
    const csr = parseCertificateRequest(buildCertificateRequest({ dnsNames, ipAddresses }, key));
    const asker = { role, scope: '*', spiffeId: null, name: ada.name } as const;
    const request = {
      authority,
      csr,
      profile: usualProfileOf(authority),
      asker,
      askedBy: ada,
      renews: null,
      endpointId: null,
      approvals: null,
    };
    return requestExternalCertificate(deps, { ...request, ...rest }, null, clock.now());
  };
  const find = async (id: ExternalOrder['id']) => (await findExternalOrder(ca.database.queries, id))!;
  return {
    ca,
    clock,
    dns,
    httpPort,
    webhook,
    deps,
    logged,
    find,
    advance: (milliseconds: number) => void (offset += milliseconds),
    declare: (
      settings: Pick<ExternalAuthoritySettings, 'directoryUrl' | 'anchorsPem' | 'rootsPem'> & Partial<ExternalAuthoritySettings>,
      secrets: { readonly name?: string; readonly bindingKey?: string; readonly webhookToken?: string; readonly dnsKey?: string } = {},
    ): Promise<ExternalAuthorityRecord> =>
      declareExternalAuthority(
        deps,
        {
          ...place,
          name: secrets.name ?? 'pebble',
          settings: {
            contacts: [],
            bindingKeyId: null,
            challenge: { kind: 'http-01' },
            allowedNames: ['*.acme.test', 'acme.test'],
            judgedBy: ['server'],
            profile: null,
            preferredChain: null,
            ...settings,
          },
          bindingKey: secrets.bindingKey === undefined ? null : new Secret(secrets.bindingKey),
          dnsKey: secrets.dnsKey === undefined ? null : new Secret(secrets.dnsKey),
          webhookToken: secrets.webhookToken === undefined ? null : new Secret(secrets.webhookToken),
        },
        ada,
        clock.now(),
      ),
    /** Declares a profile, as `apply` does. */
    async declareProfile(name: string, spec: object): Promise<void> {
      const parsed = parseProfileSpec(spec);
      const { queries } = ca.database;
      const held = (await listProfiles(queries, '*')).find((one) => one.name === name);
      const id = held?.id ?? newEntityId('profile', clock.now());
      const record = { ...parsed, ...place, id, name: name as ProfileName, digest: profileDigest(parsed), updatedAt: clock.now() };
      await ca.database.commit((unit) => upsertProfile(unit.queries, record));
      await profiles.reload(queries);
    },
    ask,
    /** Asks for what needs no approval. */
    async request(...asked: Parameters<typeof ask>): Promise<ExternalOrder> {
      const answer = await ask(...asked);
      if (answer.kind !== 'ordered') throw new Error(`request ${answer.request.id} waits for approval`);
      return answer.order;
    },
    /** Drives what is due as far as it goes, by a process of its own; the order as it stands then. */
    async drive(order: ExternalOrder): Promise<ExternalOrder> {
      await using driver = new OrderDriver(deps);
      await driver.run();
      await driver.settled();
      return find(order.id);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

/** What a DNS provider's side of the webhook does, behind TLS and a bearer token. */
async function startWebhook(records: Awaited<ReturnType<typeof startDnsServer>>['records']) {
  const transport = makeTestAuthority(Date.now(), 'Webhook');
  const { key, chain } = transport.issue({ ips: ['127.0.0.1'], usages: ['server'] });
  const calls: { readonly action: string; readonly name: string; readonly value: string }[] = [];
  const token = 'webhook-token-of-the-lab';
  const pem = { key: key.export({ type: 'pkcs8', format: 'pem' }), cert: chain.map((der) => encodePem('CERTIFICATE', der)).join('') };
  const server = createTlsServer(pem, (request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      if (request.headers.authorization !== `Bearer ${token}`) return void response.writeHead(401).end();
      const call = JSON.parse(body) as (typeof calls)[number];
      calls.push(call);
      const others = (records.get(call.name) ?? []).filter((record) => record.type !== 'TXT' || record.text !== call.value);
      records.set(call.name, call.action === 'present' ? [...others, { type: 'TXT', text: call.value }] : others);
      response.writeHead(204).end();
    });
  });
  const port = await listening(server);
  return {
    url: `https://127.0.0.1:${port}/dns`,
    anchorsPem: encodePem('CERTIFICATE', transport.root.der),
    token,
    calls,
    stop: () => void (server.closeAllConnections(), server.close()),
  };
}

async function listening(server: import('node:net').Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
