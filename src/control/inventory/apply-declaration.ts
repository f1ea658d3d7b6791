import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { AskerSpec } from '../../core/issuance/profile-spec.ts';
import type { EntityKind } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Queries } from '../../platform/db/database.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { Actor, AuditedDatabase, AuditedUnit, DataValue, JsonValue } from '../audit/entry.ts';
import { Person } from '../audit/person.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { deleteProfile, upsertProfile } from '../policies/profile-store.ts';
import { removePolicy, setPolicy } from '../policies/set-policy.ts';
import { removeTarget, setTarget } from '../policies/set-target.ts';
import { deleteRecord, upsertEndpoint, upsertException, upsertPath, upsertProxy, upsertService } from './change-store.ts';
import type { Declaration } from './declaration.ts';
import { deleteFederatedDomain, upsertFederatedDomain } from './federated-domain-store.ts';
import type { InventoryChange, ShownChange } from './inventory-change.ts';
import { planDeclaration } from './plan-declaration.ts';
import { showChanges } from './show-change.ts';
import { readSnapshot } from './snapshot.ts';
import { advanceInventoryRevision } from './store.ts';

/** The installation that declarations are about. */
export type DeclarationPlace = { readonly trustDomain: TrustDomain; readonly environment: string; readonly region: string };

/** What applying would change now. @throws input-invalid, state-conflict as `planDeclaration` does */
export async function diffDeclaration(
  deps: { readonly queries: Queries; readonly place: DeclarationPlace },
  declarations: readonly Declaration[],
  now: Instant,
): Promise<readonly ShownChange[]> {
  const snapshot = await readSnapshot(deps.queries);
  const { changes } = planDeclaration(snapshot, declarations, { ...deps.place, now, newId: (kind) => newEntityId(kind, now) });
  return showChanges(changes, snapshot);
}

/**
 * Applies documents in one commit, with an entry for each thing that changed. A second time nothing changes and nothing is logged.
 * @throws input-invalid, state-conflict, what `permit` and `judge` throw; then nothing changed
 */
export async function applyDeclaration(
  deps: {
    readonly database: AuditedDatabase;
    readonly place: DeclarationPlace;
    readonly changed: Signal;
    /** Asked of each change whether whoever applies may make it. */
    readonly permit?: (change: ShownChange) => void;
    /** Asked of the inventory as it would be; what it throws undoes all. */
    readonly judge?: (queries: Queries) => Promise<void>;
  },
  declarations: readonly Declaration[],
  actor: Actor,
  now: Instant,
): Promise<readonly ShownChange[]> {
  const apply = (unit: AuditedUnit): Promise<readonly ShownChange[]> => writePlan(unit, deps, { declarations, actor, now });
  const { database } = deps;
  // A profile may forbid what another server is about to sign after its approvals.
  const isFence = declarations.some(({ kind }) => kind === 'Profile');
  const shown = await (isFence ? database.commitFenced(apply) : database.commit(apply));
  if (shown.length > 0) deps.changed.notify();
  return shown;
}

/** What `judge` says of the inventory as it would be; nothing changes. @throws as `diffDeclaration` does */
export async function tryDeclaration<T>(
  deps: { readonly database: AuditedDatabase; readonly place: DeclarationPlace; readonly judge: (queries: Queries) => Promise<T> },
  declarations: readonly Declaration[],
  actor: Actor,
  now: Instant,
): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<T>();
  const undone = new Error('nothing is to change');
  const judge = async (queries: Queries): Promise<void> => {
    resolve(await deps.judge(queries));
    throw undone;
  };
  try {
    await deps.database.commit((unit) => writePlan(unit, { place: deps.place, judge }, { declarations, actor, now }));
    // Where nothing would change, it is as it would be.
    resolve(await deps.judge(deps.database.queries));
  } catch (error) {
    if (error !== undone) throw error;
  }
  return promise;
}

type Applying = Pick<Parameters<typeof applyDeclaration>[0], 'place' | 'permit' | 'judge'>;
type Applied = { readonly declarations: readonly Declaration[]; readonly actor: Actor; readonly now: Instant };

async function writePlan(unit: AuditedUnit, deps: Applying, { declarations, actor, now }: Applied): Promise<readonly ShownChange[]> {
  const snapshot = await readSnapshot(unit.queries);
  const newId = <Kind extends EntityKind>(kind: Kind) => newEntityId(kind, now);
  const { changes } = planDeclaration(snapshot, declarations, { ...deps.place, now, newId });
  const shown = showChanges(changes, snapshot);
  for (const change of shown) deps.permit?.(change);
  for (const [index, change] of changes.entries()) await writeChange(unit, change, shown[index]!, actor, now);
  if (changes.length > 0) await advanceInventoryRevision(unit.queries);
  if (changes.length > 0) await deps.judge?.(unit.queries);
  return shown;
}

async function writeChange(unit: AuditedUnit, change: InventoryChange, shown: ShownChange, actor: Actor, now: Instant): Promise<void> {
  // Policies and targets write their own entries: they have more to say than their fields.
  if (change.kind === 'Policy') {
    return change.action === 'remove' ? removePolicy(unit, change.before, actor, now) : setPolicy(unit, change.after, change.before, actor);
  }
  if (change.kind === 'Target') {
    return change.action === 'remove' ? removeTarget(unit, change.before, actor, now) : setTarget(unit, change.after, actor);
  }
  await writeRecord(unit, change);
  const { kind, action, name, environment, region } = change;
  recordEntry(unit, {
    type: `${entryNouns[kind]}.${entryVerbs[action]}`,
    at: now,
    environment,
    region,
    actor,
    data: { id: (change.after ?? change.before).id, name, fields: shown.fields.map(logField) },
  });
}

/** Whoever owns a thing is a person as often as a team, and whom a profile names as an asker as often as a pipeline. */
function logField({ field, before, after }: ShownChange['fields'][number]): { readonly [name: string]: DataValue } {
  const hide = field === 'owner' ? personOf : field === 'askers' ? hideIdentities : (value: JsonValue): DataValue => value;
  return { field, before: hide(before), after: hide(after) };
}

function personOf(value: JsonValue): DataValue {
  return typeof value === 'string' ? new Person(value) : value;
}

function hideIdentities(askers: JsonValue): DataValue {
  if (typeof askers !== 'object' || askers === null) return askers;
  const hidden = Object.entries(askers as { readonly [door: string]: AskerSpec }).map(([door, { roles, identities }]) => [
    door,
    { roles, identities: identities === null ? null : identities.map(personOf) },
  ]);
  return Object.fromEntries(hidden) as DataValue;
}

async function writeRecord(unit: AuditedUnit, change: Exclude<InventoryChange, { readonly kind: 'Policy' | 'Target' }>): Promise<void> {
  const { queries } = unit;
  if (change.kind === 'Profile')
    return change.action === 'remove' ? deleteProfile(queries, change.before.id) : upsertProfile(queries, change.after);
  if (change.kind === 'FederatedTrustDomain')
    return change.action === 'remove' ? deleteFederatedDomain(queries, change.before.id) : upsertFederatedDomain(queries, change.after);
  if (change.action === 'remove') return deleteRecord(queries, tableOf[change.kind], change.before.id);
  switch (change.kind) {
    case 'Service':
      return upsertService(queries, change.after);
    case 'Endpoint':
      return upsertEndpoint(queries, change.after);
    case 'Proxy':
      return upsertProxy(queries, change.after);
    case 'Path':
      return upsertPath(queries, change.after);
    case 'Exception':
      return upsertException(queries, change.after);
    default:
      throw new TypeError(`Cannot write change: ${JSON.stringify(change satisfies never)}`);
  }
}

const tableOf = {
  Service: 'services',
  Endpoint: 'endpoints',
  Proxy: 'declared_proxies',
  Path: 'paths',
  Exception: 'exceptions',
} as const;
const entryNouns = {
  FederatedTrustDomain: 'federated-domain',
  Profile: 'profile',
  Service: 'service',
  Endpoint: 'endpoint',
  Proxy: 'proxy',
  Path: 'path',
  Exception: 'exception',
} as const;
const entryVerbs = { add: 'declared', change: 'changed', remove: 'removed' } as const;
