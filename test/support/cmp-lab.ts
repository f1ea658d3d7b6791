import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { EventEmitter, once } from 'node:events';
import type { AuditedDatabase, AuditEntry } from '../../src/control/audit/entry.ts';
import { DeclaredProfiles } from '../../src/control/policies/declared-profiles.ts';
import { upsertProfile } from '../../src/control/policies/profile-store.ts';
import { parseProfileSpec } from '../../src/core/issuance/parse-profile-spec.ts';
import { profileDigest } from '../../src/core/issuance/profile-spec.ts';
import type { ProfileName } from '../../src/core/issuance/profile.ts';
import type { Instant } from '../../src/core/time/instant.ts';
import { createToken } from '../../src/control/access/create-token.ts';
import { approveRequest, denyRequest } from '../../src/control/ca/judge-request.ts';
import type { AuthorityKeyType } from '../../src/control/ca/create-authority-pair.ts';
import { ensureStoredSecret } from '../../src/control/ca/stored-secret.ts';
import { encodePem } from '../../src/core/x509/pem.ts';
import { MINUTE_MS } from '../../src/core/time/instant.ts';
import { ManualClock } from '../../src/platform/clock/clock.ts';
import { newEntityId } from '../../src/platform/ids/new-entity-id.ts';
import type { KeyEncryptionKey } from '../../src/platform/signer/key-encryption-key.ts';
import { createMetrics } from '../../src/platform/telemetry/metrics.ts';
import { makeSecret, type SecretRequest } from '../../src/protocols/cmp/secret.ts';
import { serveCmp } from '../../src/server/serve-cmp.ts';
import { ada, openTestAuthorities, place } from './authorities.ts';
import { makerOf } from './maker.ts';

const run = promisify(execFile);

/** What a secret shall be for, as far as a test says. */
type LabSecret = Pick<SecretRequest, 'role' | 'uses' | 'ttlMs'> & SecretRequest['bounds'];

export type CmpLab = AsyncDisposable & Awaited<ReturnType<typeof openCmpLab>>;

/** The real listener of CMP over a real CA and database, a directory for clients, and what was logged. */
export async function openCmpLab(
  url: string,
  options: {
    /** Profiles by their names, as a declaration has them. */
    readonly declared?: { readonly [name: string]: object };
    /** Of the authorities. */
    readonly keyType?: AuthorityKeyType;
    /** The lab of an earlier call: it is the next start of that control plane. */
    readonly reopen?: { readonly kek: KeyEncryptionKey };
  } = {},
) {
  const stack = new AsyncDisposableStack();
  const clock = new ManualClock(Date.now());
  const commits = new EventEmitter();
  const wrap = (bare: AuditedDatabase): AuditedDatabase => ({
    ...bare,
    queries: bare.queries,
    commit: (unit, alone) => bare.commit(unit, alone).finally(() => commits.emit('commit')),
  });
  const reopen = options.reopen === undefined ? {} : { reopen: options.reopen.kek };
  const ca = stack.use(
    await openTestAuthorities(url, clock.now(), {
      ...reopen,
      wrap,
      ...(options.keyType === undefined ? {} : { keyType: options.keyType }),
    }),
  );
  const directory = await mkdtemp(join(tmpdir(), 'countersign-cmp-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  await writeFile(join(directory, 'root.pem'), ca.authorities.roots.map(({ der }) => encodePem('CERTIFICATE', der)).join(''));
  const profiles = new DeclaredProfiles();
  await declare(ca.database, options.declared ?? {}, clock.now());
  await profiles.reload(ca.database.queries);
  const authorities = { ...ca.authorities, profiles };
  const logged: { readonly level: string; readonly event: string; readonly fields: { readonly [name: string]: unknown } }[] = [];
  const root = await ensureStoredSecret(ca, { ownerId: 'cmp', purpose: 'cmp' }, place, clock.now());
  const maker = await makerOf(ca, clock.now());
  const server = stack.use(
    await serveCmp({
      config: place,
      cmp: { listen: { host: '127.0.0.1', port: 0 }, confirmWithinMs: 10 * MINUTE_MS },
      state: { database: ca.database, kek: ca.kek, verifier: null as never, [Symbol.asyncDispose]: async () => {} },
      authorities,
      root,
      signals: { authorities: ca.changed } as never,
      clock,
      log: (level, event, fields = {}) => void logged.push({ level, event, fields }),
      metrics: createMetrics(),
    }),
  );
  return {
    ca,
    authorities,
    clock,
    root,
    maker,
    directory,
    port: server.port,
    logged,
    /** Reasons of refusals, as the log has them. */
    refusals: () =>
      logged.flatMap(({ event, fields }) => (event === 'cmp.refused' ? [`${String(fields['failure'])}: ${String(fields['reason'])}`] : [])),
    /** A secret for this name unless something else is said. */
    secret: async ({ role = 'ci', uses = 1, ttlMs = MINUTE_MS, ...changes }: Partial<LabSecret> = {}) => {
      const bounds = { profile: 'server' as ProfileName, spiffeId: null, dnsNames: ['dev1.acme.example'], ipAddresses: [], ...changes };
      const request = { name: 'printers', role, ...place, bounds, uses, ttlMs };
      const { grant, secret } = await makeSecret({ database: ca.database, authorities, root }, request, maker, clock.now());
      const made = { reference: grant.id, secret, grant };
      return { ...made, args: ['-ref', made.reference, '-secret', `pass:${made.secret.reveal()}`] };
    },
    /** Runs `openssl cmp` in the directory; never throws. */
    cmp: (command: string, ...args: readonly string[]) =>
      runCmp(directory, ['-cmd', command, '-server', `127.0.0.1:${server.port}`, ...args]),
    /** Resolves with the entry once there are more than so many of this type. */
    entryAfter: async (count: number, type: AuditEntry['type']): Promise<AuditEntry> => {
      while (ca.entriesOf(type).length <= count) await once(commits, 'commit');
      return ca.entriesOf(type)[count]!;
    },
    /** A person who approves of requests, or denies them. */
    judge: async () => {
      const { tokenId } = await createToken(ca, { name: 'grace', role: 'operator', scope: '*', ttlMs: null, ...place }, ada, clock.now());
      const person = {
        principal: { name: 'grace', role: 'operator', scope: '*', tokenId },
        actor: { kind: 'person', name: 'grace' },
      } as const;
      const deps = { database: ca.database, authorities, startOrder: startNone };
      return {
        approve: (id: string) => approveRequest(deps, { id, ...person }, clock.now()),
        deny: (id: string) => denyRequest(deps, { id, ...person, reason: 'no' }, clock.now()),
      };
    },
    openssl: async (...args: readonly string[]) => (await run('openssl', args, { cwd: directory })).stdout,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Nobody asks another CA here. */
function startNone(): never {
  assert.fail('a request of CMP went to another CA');
}

async function declare(database: AuditedDatabase, declared: { readonly [name: string]: object }, now: Instant): Promise<void> {
  for (const [name, input] of Object.entries(declared)) {
    const spec = parseProfileSpec(input);
    const id = newEntityId('profile', now);
    const record = { ...spec, id, ...place, name: name as ProfileName, digest: profileDigest(spec), updatedAt: now };
    await database.commit(({ queries }) => upsertProfile(queries, record));
  }
}

/** What the client said; `code` 0: it got what it asked for. */
export type CmpAnswer = { readonly code: number; readonly output: string };

async function runCmp(cwd: string, args: readonly string[]): Promise<CmpAnswer> {
  // A configuration of the machine's own would change what is asked for.
  const options = { cwd, timeout: 30_000, env: { PATH: process.env['PATH'], OPENSSL_CONF: '/dev/null' } };
  try {
    const { stdout, stderr } = await run('openssl', ['cmp', '-config', '', ...args], options);
    return { code: 0, output: stdout + stderr };
  } catch (error) {
    const { code, stdout = '', stderr = '' } = error as { code?: number | string; stdout?: string; stderr?: string };
    return { code: typeof code === 'number' ? code : -1, output: stdout + stderr };
  }
}
