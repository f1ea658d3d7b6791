import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { createToken } from '../../src/control/access/create-token.ts';
import { MachineTokens } from '../../src/control/access/machine-tokens.ts';
import type { Role } from '../../src/control/access/role.ts';
import type { AuditEntry } from '../../src/control/audit/entry.ts';
import { approveRequest, denyRequest } from '../../src/control/ca/judge-request.ts';
import { pinnedRoot } from '../../src/control/ca/authorities.ts';
import { issueControlPlaneCertificate } from '../../src/control/ca/issue-control-plane-certificate.ts';
import { DeclaredProfiles } from '../../src/control/policies/declared-profiles.ts';
import { upsertProfile } from '../../src/control/policies/profile-store.ts';
import { parseProfileSpec } from '../../src/core/issuance/parse-profile-spec.ts';
import { profileDigest } from '../../src/core/issuance/profile-spec.ts';
import type { ProfileName } from '../../src/core/issuance/profile.ts';
import { encodePem } from '../../src/core/x509/pem.ts';
import { ManualClock } from '../../src/platform/clock/clock.ts';
import type { EstConfig } from '../../src/platform/config/est-config.ts';
import { newEntityId } from '../../src/platform/ids/new-entity-id.ts';
import { fetchOutside, type FetchRequest } from '../../src/platform/network/fetch-outside.ts';
import { makeNameResolver } from '../../src/platform/network/name-resolver.ts';
import { parseOutsidePolicy } from '../../src/platform/network/outside-policy.ts';
import { createMetrics } from '../../src/platform/telemetry/metrics.ts';
import { serveEst } from '../../src/server/serve-est.ts';
import { ada, openTestAuthorities, place, trustDomain } from './authorities.ts';

export type EstLab = AsyncDisposable & Awaited<ReturnType<typeof openEstLab>>;
export type EstCallOptions = {
  readonly method?: 'GET' | 'POST' | 'HEAD' | 'PUT';
  readonly headers?: { readonly [name: string]: string };
  readonly body?: string | Buffer;
  /** Made once the handshake is done, as a CSR that is bound to it has to be. */
  readonly bodyFor?: (socket: TLSSocket) => string;
  readonly client?: { readonly cert: string; readonly key: string };
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3';
};

/** The real listener of EST over a real CA and database; `profiles` are declared in production. */
export async function openEstLab(
  url: string,
  options: { readonly profiles?: { readonly [name: string]: object }; readonly est?: Partial<EstConfig> } = {},
) {
  const stack = new AsyncDisposableStack();
  const clock = new ManualClock(Date.now());
  const events = new EventEmitter<{ entry: [AuditEntry] }>();
  const onEntry = (entry: AuditEntry): void => void events.emit('entry', entry);
  const ca = stack.use(await openTestAuthorities(url, clock.now(), { crlBaseUrl: null, onEntry }));
  const { database } = ca;
  const directory = await mkdtemp(join(tmpdir(), 'countersign-est-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  // strongSwan reads no more than the first.
  const roots = encodePem('CERTIFICATE', pinnedRoot(ca.authorities).der);
  const rootFile = join(directory, 'root.pem');
  await writeFile(rootFile, roots);
  const profiles = new DeclaredProfiles();
  for (const [name, input] of Object.entries(options.profiles ?? {})) {
    const spec = parseProfileSpec(input);
    const record = {
      ...spec,
      ...place,
      id: newEntityId('profile', clock.now()),
      name: name as ProfileName,
      digest: profileDigest(spec),
      updatedAt: clock.now(),
    };
    await database.commit(({ queries }) => upsertProfile(queries, record));
  }
  await profiles.reload(database.queries);
  const authorities = { ...ca.authorities, profiles };
  const names = { dns: ['localhost'], ip: ['127.0.0.1'] };
  const { certificate, privateKey } = await issueControlPlaneCertificate(ca, { ...place, names }, clock.now());
  const logged: { readonly level: string; readonly event: string; readonly fields: { readonly [name: string]: unknown } }[] = [];
  const log = (level: string, event: string, fields: { readonly [name: string]: unknown } = {}): void =>
    void logged.push({ level, event, fields });
  const policy = parseOutsidePolicy(['127.0.0.0/8'], () => []);
  const resolver = makeNameResolver([]);
  const fetch = (asked: FetchRequest) => fetchOutside({ resolver, policy }, asked);
  const server = stack.use(
    await serveEst({
      config: place,
      est: { listen: { host: '127.0.0.1', port: 0 }, serverNames: [], profile: 'server', bound: [], retryAfterMs: 1_000, ...options.est },
      state: { database },
      authorities,
      machineTokens: new MachineTokens({ database, trustDomain, place, fetch, log }),
      credentials: { chain: [...certificate.chain, ...ca.authorities.roots.map(({ der }) => der)], key: privateKey },
      clock,
      log,
      metrics: createMetrics(),
    }),
  );
  return {
    ca,
    authorities,
    clock,
    directory,
    rootFile,
    logged,
    port: server.port,
    base: `https://127.0.0.1:${server.port}`,
    tokenOf: async (role: Role, scope: readonly string[] | '*' = '*') => {
      const made = await createToken({ database }, { name: `${role} of the test`, role, scope, ...place, ttlMs: null }, ada, clock.now());
      return made.token.reveal();
    },
    /** The next entry of a type. */
    entry: async (type: AuditEntry['type']): Promise<AuditEntry> => {
      for (;;) {
        const [entry] = await once(events, 'entry');
        if (entry.type === type) return entry;
      }
    },
    /** A person says yes or no to what waits. */
    judge: async (id: string, verdict: 'approve' | 'deny', person = 'grace') => {
      const { tokenId } = await createToken(
        { database },
        { name: person, role: 'operator', scope: '*', ...place, ttlMs: null },
        ada,
        clock.now(),
      );
      const principal = { tokenId, name: person, role: 'operator', scope: '*' } as const;
      const judgement = { id, principal, actor: { kind: 'person', name: person } } as const;
      if (verdict === 'approve') return approveRequest({ database, authorities, startOrder }, judgement, clock.now());
      return denyRequest({ database, authorities }, { ...judgement, reason: 'unknown device' }, clock.now());
    },
    call: (path: string, call: EstCallOptions = {}) => send({ port: server.port, roots }, path, call),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const startOrder = async (): Promise<never> => assert.fail('no other CA is asked');

export type EstReply = {
  readonly status: number;
  readonly headers: { readonly [name: string]: string | string[] | undefined };
  readonly text: string;
};

export function basic(password: string, user = 'device'): { readonly authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}

function send({ port, roots }: { readonly port: number; readonly roots: string }, path: string, call: EstCallOptions): Promise<EstReply> {
  const {
    method = call.body === undefined && call.bodyFor === undefined ? 'GET' : 'POST',
    headers = {},
    body,
    bodyFor,
    client,
    maxVersion,
  } = call;
  const { promise, resolve, reject } = Promise.withResolvers<EstReply>();
  const type = method === 'GET' ? {} : { 'content-type': 'application/pkcs10' };
  const tls = { ca: roots, ...client, ...(maxVersion === undefined ? {} : { maxVersion }) };
  const asked = request({ host: '127.0.0.1', port, path, method, agent: false, ...tls, headers: { ...type, ...headers } }, (response) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => (text += chunk));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    response.on('error', reject);
  });
  asked.on('error', reject);
  if (bodyFor === undefined) asked.end(body);
  else asked.once('socket', (socket) => socket.once('secureConnect', () => asked.end(bodyFor(socket as TLSSocket))));
  return promise;
}
