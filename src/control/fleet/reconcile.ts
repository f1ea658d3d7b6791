import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { AuditedDatabase, AuditedUnit } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { listDeclaredProxies, listEndpoints, listExceptions, listPaths, listServices, readInventoryRevision } from '../inventory/store.ts';
import { anonymousByEndpoint } from '../inventory/anonymous-by-endpoint.ts';
import type { PathRecord, ProxyRecord } from '../inventory/record.ts';
import { listPolicies } from '../policies/store.ts';
import { compileSettings, encodeSettings, type FleetView, settingsDigest } from './compile-settings.ts';
import { listPublishedKeys } from './published-key-store.ts';
import {
  deleteSettings,
  listPathModes,
  listSettings,
  markCompiled,
  readFleetRevision,
  readRenewalEpochs,
  type SettingsRecord,
  upsertSettings,
} from './store.ts';

export type ViewDeps = {
  readonly trustDomain: TrustDomain;
  /** Endpoints that were proven once, by the rollouts' own record. */
  readonly readLatched: (queries: Queries) => Promise<ReadonlySet<EntityId<'endpoint'>>>;
};

export type ReconcileDeps = ViewDeps & { readonly database: AuditedDatabase; readonly changed: Signal };

/**
 * Brings every proxy's settings to what inventory, policies, modes and renewals say now. A proxy whose content did not change keeps
 * its generation. Without a change since the last time nothing but the two revisions is read.
 * @returns how many proxies got a new generation, or lost their settings
 */
export async function reconcileSettings(deps: ReconcileDeps, now: Instant): Promise<number> {
  const { database } = deps;
  if (await isSettled(database.queries)) return 0;
  const changed = await database.commit((unit) => compileAll(unit, deps, now));
  if (changed > 0) deps.changed.notify();
  return changed;
}

/** True if the stored settings are made from all that was committed: only then does an acknowledgement mean the present modes. */
export async function isSettled(queries: Queries): Promise<boolean> {
  return (await readSettledRevision(queries)) !== null;
}

/** The revision of everything committed, if the stored settings are made from it. */
export async function readSettledRevision(queries: Queries): Promise<string | null> {
  const { value, compiledFrom } = await readFleetRevision(queries);
  return compiledFrom === revisionText(await readInventoryRevision(queries), value) ? compiledFrom : null;
}

async function compileAll(unit: AuditedUnit, deps: ReconcileDeps, now: Instant): Promise<number> {
  const { queries } = unit;
  const revision = revisionText(await readInventoryRevision(queries), (await readFleetRevision(queries)).value);
  const proxies = await listDeclaredProxies(queries, '*');
  const view = await readView(queries, deps, now);
  const held = new Map((await listSettings(queries, '*')).map((settings) => [settings.proxyId, settings]));
  const changed: Changed[] = [];
  for (const proxy of proxies) changed.push(...(await compileOne(queries, view, proxy, held.get(proxy.id) ?? null, now)));
  const declared = new Set(proxies.map(({ id }) => id));
  for (const settings of held.values()) {
    if (declared.has(settings.proxyId)) continue;
    await deleteSettings(queries, settings.proxyId);
    changed.push({ ...settings, generation: 0, digest: '' });
  }
  recordChanges(unit, changed, now);
  await markCompiled(queries, revision);
  return changed.length;
}

type Changed = Pick<SettingsRecord, 'proxyId' | 'environment' | 'region' | 'generation' | 'digest'>;

async function compileOne(
  queries: Queries,
  view: FleetView,
  proxy: ProxyRecord,
  held: SettingsRecord | null,
  now: Instant,
): Promise<readonly Changed[]> {
  const settings = compileSettings(view, proxy);
  const digest = settingsDigest(settings);
  if (held?.digest === digest) return [];
  const { id: proxyId, environment, region } = proxy;
  const generation = (held?.generation ?? 0) + 1;
  const changed: Changed = { proxyId, environment, region, generation, digest };
  const content = { octets: encodeSettings(settings, generation), trustDomains: settings.federatedTrustDomains };
  await upsertSettings(queries, { ...changed, ...content }, now);
  return [changed];
}

/** A fixed number of queries, whatever the fleet's size. */
export async function readView(queries: Queries, { trustDomain, readLatched }: ViewDeps, now: Instant): Promise<FleetView> {
  const services = await listServices(queries, '*');
  const endpoints = await listEndpoints(queries, '*');
  const paths = (await listPaths(queries, '*')).toSorted(byCaller);
  const modes = await listPathModes(queries, '*');
  const policies = await listPolicies(queries, '*');
  const exceptions = await listExceptions(queries, '*');
  return {
    trustDomain,
    now,
    oldTls: exceptions.filter(({ kind }) => kind === 'legacy-tls-hop'),
    anonymous: anonymousByEndpoint(exceptions),
    services: new Map(services.map((service) => [service.id, service])),
    endpoints: new Map(endpoints.map((endpoint) => [endpoint.id, endpoint])),
    pathsByEndpoint: Map.groupBy(paths, ({ endpointId }) => endpointId),
    modes: new Map(modes.map((mode) => [mode.pathId, mode])),
    latched: await readLatched(queries),
    policies: new Map(policies.map(({ environment, name, policy }) => [`${environment}/${name}`, policy])),
    publishedKeys: new Map((await listPublishedKeys(queries)).map(({ source, keys }) => [source, keys])),
    renewalEpochs: await readRenewalEpochs(queries),
  };
}

/** The log holds which content each proxy was told to run; the content itself follows from the entries before. */
function recordChanges(unit: AuditedUnit, changed: readonly Changed[], now: Instant): void {
  const byPlace = Map.groupBy(changed, ({ environment, region }) => `${environment}/${region}`);
  for (const group of byPlace.values()) {
    for (let start = 0; start < group.length; start += MAXIMUM_LOGGED) {
      const part = group.slice(start, start + MAXIMUM_LOGGED);
      const { environment, region } = part[0]!;
      const proxies = part.map(({ proxyId, generation, digest }) => ({ proxyId: proxyId as string, generation, digest }));
      const actor = { kind: 'system', name: 'fleet' } as const;
      recordEntry(unit, { type: 'settings.changed', at: now, environment, region, actor, data: { proxies } });
    }
  }
}

function revisionText(inventory: number, fleet: number): string {
  return `${COMPILER_VERSION}.${inventory}.${fleet}`;
}

function byCaller(a: PathRecord, b: PathRecord): number {
  return a.caller < b.caller ? -1 : a.caller > b.caller ? 1 : 0;
}

/** Raised whenever `compileSettings` gives other octets for the same view, so that an upgrade compiles anew. */
const COMPILER_VERSION = 2;
/** A leaf of the log is at most 64 KiB (C2SP tlog-tiles); one proxy takes some 140 octets. */
const MAXIMUM_LOGGED = 200;
