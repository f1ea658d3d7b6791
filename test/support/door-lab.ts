import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createToken } from '../../src/control/access/create-token.ts';
import type { Principal } from '../../src/control/access/principal.ts';
import type { Role } from '../../src/control/access/role.ts';
import type { AuditEntry } from '../../src/control/audit/entry.ts';
import { approveRequest, denyRequest } from '../../src/control/ca/judge-request.ts';
import { pinnedRoot } from '../../src/control/ca/authorities.ts';
import { DeclaredProfiles } from '../../src/control/policies/declared-profiles.ts';
import { upsertProfile } from '../../src/control/policies/profile-store.ts';
import { parseProfileSpec } from '../../src/core/issuance/parse-profile-spec.ts';
import { profileDigest } from '../../src/core/issuance/profile-spec.ts';
import type { ProfileName } from '../../src/core/issuance/profile.ts';
import { encodePem } from '../../src/core/x509/pem.ts';
import { ManualClock } from '../../src/platform/clock/clock.ts';
import { newEntityId } from '../../src/platform/ids/new-entity-id.ts';
import { ada, openTestAuthorities, place } from './authorities.ts';

export type DoorLab = AsyncDisposable & Awaited<ReturnType<typeof openDoorLab>>;

/** A real CA and database behind a door under test; `declared` profiles are stored in production. */
export async function openDoorLab(url: string, declared: { readonly [name: string]: object }) {
  const stack = new AsyncDisposableStack();
  const clock = new ManualClock(Date.now());
  const events = new EventEmitter<{ entry: [AuditEntry] }>();
  const onEntry = (entry: AuditEntry): void => void events.emit('entry', entry);
  const ca = stack.use(await openTestAuthorities(url, clock.now(), { crlBaseUrl: null, onEntry }));
  const { database } = ca;
  const directory = await mkdtemp(join(tmpdir(), 'countersign-door-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  // strongSwan reads no more than the first.
  const roots = encodePem('CERTIFICATE', pinnedRoot(ca.authorities).der);
  const rootFile = join(directory, 'root.pem');
  await writeFile(rootFile, roots);
  const profiles = new DeclaredProfiles();
  for (const [name, input] of Object.entries(declared)) {
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
  const logged: { readonly level: string; readonly event: string; readonly fields: { readonly [name: string]: unknown } }[] = [];
  const principalOf = async (role: Role, name = `${role} of the test`, scope: Principal['scope'] = '*') => {
    const made = await createToken({ database }, { name, role, scope, ...place, ttlMs: null }, ada, clock.now());
    return { token: made.token.reveal(), principal: { tokenId: made.tokenId, name, role, scope } };
  };
  return {
    ca,
    authorities,
    clock,
    directory,
    root: roots,
    rootFile,
    logged,
    log: (level: string, event: string, fields: { readonly [name: string]: unknown } = {}): void =>
      void logged.push({ level, event, fields }),
    principalOf,
    tokenOf: async (role: Role, scope: Principal['scope'] = '*') => (await principalOf(role, undefined, scope)).token,
    /** The next entry of a type. */
    entry: async (type: AuditEntry['type']): Promise<AuditEntry> => {
      for (;;) {
        const [entry] = await once(events, 'entry');
        if (entry.type === type) return entry;
      }
    },
    /** A person says yes or no to what waits. */
    judge: async (id: string, verdict: 'approve' | 'deny', person = 'grace') => {
      const { principal } = await principalOf('operator', person);
      const judgement = { id, principal, actor: { kind: 'person', name: person } } as const;
      if (verdict === 'approve') return approveRequest({ database, authorities, startOrder }, judgement, clock.now());
      return denyRequest({ database, authorities }, { ...judgement, reason: 'unknown device' }, clock.now());
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const startOrder = async (): Promise<never> => assert.fail('no other CA is asked');
