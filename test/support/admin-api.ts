import { erasePerson } from '../../src/control/audit/erase-person.ts';
import { personHolders } from '../../src/server/person-holders.ts';
import { request } from 'node:https';
import { randomBytes } from 'node:crypto';
import { MachineTokens } from '../../src/control/access/machine-tokens.ts';
import { createToken } from '../../src/control/access/create-token.ts';
import type { Scope } from '../../src/control/access/principal.ts';
import type { Role } from '../../src/control/access/role.ts';
import type { AuditedDatabase, AuditEntry, StagedEntry } from '../../src/control/audit/entry.ts';
import { PublishedKeySets } from '../../src/control/fleet/published-key-sets.ts';
import { pinnedRoot } from '../../src/control/ca/authorities.ts';
import { addAuthorityPair } from '../../src/control/ca/initialize-authorities.ts';
import { openAuthorities } from '../../src/control/ca/open-authorities.ts';
import { readLatchedEndpoints } from '../../src/control/rollouts/store.ts';
import { DeclaredProfiles } from '../../src/control/policies/declared-profiles.ts';
import { makeFleetPort } from '../../src/control/rollouts/make-fleet-port.ts';
import { readDrillFacts } from '../../src/control/scans/read-drills.ts';
import { Problem } from '../../src/core/problems/problem.ts';
import { encodePem } from '../../src/core/x509/pem.ts';
import { ManualClock } from '../../src/platform/clock/clock.ts';
import { makeSignal } from '../../src/platform/clock/signal.ts';
import { openDatabase } from '../../src/platform/db/open-database.ts';
import { makeKeyEncryptionKey } from '../../src/platform/signer/key-encryption-key.ts';
import { fetchOutside, type FetchRequest } from '../../src/platform/network/fetch-outside.ts';
import { makeNameResolver } from '../../src/platform/network/name-resolver.ts';
import { parseOutsidePolicy } from '../../src/platform/network/outside-policy.ts';
import { createMetrics } from '../../src/platform/telemetry/metrics.ts';
import { startAdminServer } from '../../src/protocols/admin/admin-server.ts';
import type { Handlers } from '../../src/protocols/admin/handler.ts';
import { accessHandlers } from '../../src/protocols/admin/serve-access.ts';
import { ensureAcmeSecrets } from '../../src/protocols/acme/acme-secrets.ts';
import { grantHandlers } from '../../src/protocols/admin/serve-grants.ts';
import { grantMakers } from '../../src/server/grant-makers.ts';
import { ensureCmpRoot } from '../../src/server/serve-cmp.ts';
import { certificateHandlers } from '../../src/protocols/admin/serve-certificates.ts';
import { makeStartOrder } from '../../src/control/external/start-order.ts';
import { externalHandlers } from '../../src/protocols/admin/serve-external.ts';
import { federationHandlers } from '../../src/protocols/admin/serve-federation.ts';
import { inventoryHandlers } from '../../src/protocols/admin/serve-inventory.ts';
import { issuanceHandlers } from '../../src/protocols/admin/serve-issuance.ts';
import { logHandlers } from '../../src/protocols/admin/serve-log.ts';
import { renewalHandlers } from '../../src/protocols/admin/serve-renewals.ts';
import { requestHandlers } from '../../src/protocols/admin/serve-requests.ts';
import { rolloutHandlers } from '../../src/protocols/admin/serve-rollouts.ts';
import { ada, place } from './inventory.ts';
import { makeTestAuthority } from './test-authority.ts';

export type ApiAnswer = {
  readonly status: number;
  readonly headers: { readonly [name: string]: string | string[] | undefined };
  readonly text: string;
  /** The body, where it is JSON. */
  readonly json: any;
};

export type ApiCall = {
  readonly method: string;
  readonly path: string;
  readonly token?: string;
  readonly body?: unknown;
  /** Sent as it is, instead of `body`. */
  readonly raw?: string | Buffer;
  readonly headers?: { readonly [name: string]: string };
};

export type AdminApi = AsyncDisposable & Awaited<ReturnType<typeof openAdminApi>>;

/** The REST listener over a real database and a real CA, with tokens of every kind. */
export async function openAdminApi(url: string) {
  const entries: AuditEntry[] = [];
  const database: AuditedDatabase = await openDatabase<StagedEntry>({
    url,
    seal: async (_queries, staged) => void entries.push(...staged.map(({ entry }) => entry)),
  });
  const clock = new ManualClock(Date.UTC(2026, 10, 24));
  const kek = makeKeyEncryptionKey(randomBytes(32));
  const { trustDomain, environment, region } = place;
  await addAuthorityPair(
    { database, kek },
    { trustDomain, environment: '*', region, keyType: 'P-256', crlBaseUrl: null },
    ada,
    clock.now() - 1,
  );
  const { queries } = database;
  const profiles = new DeclaredProfiles();
  const authorities = { ...(await openAuthorities({ database, kek })), profiles };
  const metrics = createMetrics();
  const [desiredChanged, authorityChanged, drillsChanged] = [makeSignal(), makeSignal(), makeSignal()];
  const logged: { readonly event: string; readonly fields: { readonly [name: string]: unknown } }[] = [];
  const log = (_level: string, event: string, fields: object = {}): void => void logged.push({ event, fields: { ...fields } });
  const policy = parseOutsidePolicy(['127.0.0.0/8'], () => []);
  const resolver = makeNameResolver([]);
  const issuers = {
    database,
    place: { environment, region },
    log,
    fetch: (request: FetchRequest) => fetchOutside({ resolver, policy }, request),
  };
  const publishedKeys = new PublishedKeySets({ ...issuers, changed: desiredChanged });
  const startOrder = makeStartOrder({ database, authorities, changed: desiredChanged });
  const handlers: Handlers = {
    ...accessHandlers({ database, place, rootSpkiSha256: () => pinnedRoot(authorities).spkiSha256, authorityChanged }),
    ...inventoryHandlers({
      database,
      place,
      desiredChanged,
      kek,
      ticketsOrdered: makeSignal(),
      learnKeys: (policies, asker, now) => publishedKeys.learn(policies, asker, now),
      reloadProfiles: () => profiles.reload(queries),
      readLatched: readLatchedEndpoints,
      envoyOf: () => null,
    }),
    ...certificateHandlers({ database, authorities, region, authorityChanged, externalChanged: makeSignal() }),
    ...issuanceHandlers({ database, authorities, environment }),
    ...requestHandlers({ database, authorities, startOrder }),
    ...renewalHandlers({ database, authorities, log }),
    ...rolloutHandlers({
      rollouts: { database, fleet: makeFleetPort(readDrillFacts), modesChanged: desiredChanged },
      rolloutChanged: desiredChanged,
      drillsChanged,
    }),
    ...grantHandlers({
      database,
      makers: grantMakers(
        { database, authorities },
        {
          acme: await ensureAcmeSecrets({ database, kek }, place, clock.now()),
          cmp: await ensureCmpRoot({ database, kek }, place, clock),
          scep: true,
        },
      ),
      place,
    }),
    ...externalHandlers({ database, kek, region, changed: desiredChanged, authorities }),
    ...federationHandlers({ queries }),
    ...logHandlers({
      queries,
      metrics,
      erasePerson: (name, actor, now) => erasePerson({ database, holders: personHolders }, { name, environment, region }, actor, now),
      readLogFile: async (path) => {
        if (path !== 'checkpoint') throw new Problem('not-found', 'Cannot read log: there is no such file');
        return { body: Buffer.from('note\n'), contentType: 'text/plain; charset=utf-8', cacheControl: 'no-store' };
      },
    }),
  };
  const transport = makeTestAuthority(clock.now());
  const credential = transport.issue({ ips: ['127.0.0.1'], usages: ['server'] });
  const server = await startAdminServer({
    machineTokens: new MachineTokens({ ...issuers, trustDomain }),
    listen: { host: '127.0.0.1', port: 0 },
    credentials: { chain: credential.chain, key: credential.key },
    handlers,
    database,
    place: { environment, region },
    clock,
    metrics,
    log,
  });
  const trust = encodePem('CERTIFICATE', transport.root.der);
  return {
    database,
    authorities,
    startOrder,
    kek,
    publishedKeys,
    clock,
    metrics,
    entries,
    logged,
    server,
    transport,
    /** Open to change, so that a test can break one. */
    handlers: handlers as { -readonly [Name in keyof Handlers]: Handlers[Name] },
    call: (call: ApiCall) => send(server.port, trust, call),
    tokenOf: async (role: Role, scope: Scope = '*') => {
      const made = await createToken(
        { database },
        { name: `${role} of the test`, role, scope, environment, region, ttlMs: null },
        ada,
        clock.now(),
      );
      return made.token.reveal();
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
    },
  };
}

function send(port: number, ca: string, { method, path, token, body, raw, headers }: ApiCall): Promise<ApiAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<ApiAnswer>();
  const payload = raw ?? (body === undefined ? null : JSON.stringify(body));
  const outgoing = request({
    host: '127.0.0.1',
    port,
    ca,
    method,
    path,
    agent: false,
    // The test's clock stands in 2026; whether the certificate is good today is not what is asked.
    rejectUnauthorized: false,
    headers: {
      ...(payload === null ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
  });
  outgoing.on('error', reject);
  outgoing.on('response', (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('error', reject);
    response.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      const isJson = /json/.test(response.headers['content-type'] ?? '') && text !== '';
      resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json: isJson ? (JSON.parse(text) as unknown) : null });
    });
  });
  outgoing.end(payload ?? undefined);
  return promise;
}
