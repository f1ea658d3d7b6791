import type { AuditedDatabase } from '../../control/audit/entry.ts';
import { listPathModes } from '../../control/fleet/store.ts';
import type { ViewDeps } from '../../control/fleet/reconcile.ts';
import { listUnable, refuseUnable } from '../../control/fleet/refuse-unable.ts';
import { requestRenewal } from '../../control/fleet/request-renewal.ts';
import { rotateTickets } from '../../control/fleet/rotate-tickets.ts';
import { applyDeclaration, type DeclarationPlace, diffDeclaration, tryDeclaration } from '../../control/inventory/apply-declaration.ts';
import type { Declaration } from '../../control/inventory/declaration.ts';
import { listDiscovered } from '../../control/inventory/discovered-store.ts';
import { parseDeclaration } from '../../control/inventory/parse-declaration.ts';
import { recordDiscovered } from '../../control/inventory/record-discovered.ts';
import { listEndpoints, listPaths, listServices } from '../../control/inventory/store.ts';
import { listProfiles } from '../../control/policies/profile-store.ts';
import { listPolicies, listTargets } from '../../control/policies/store.ts';
import { trustDomainOf } from '../../core/identity/spiffe-id.ts';
import { explainPolicy } from '../../core/policy/explain-policy.ts';
import type { Policy } from '../../core/policy/policy.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { KeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';
import type { Principal } from '../../control/access/principal.ts';
import { roleCovers } from '../../control/access/role.ts';
import type { ShownChange } from '../../control/inventory/inventory-change.ts';
import { Problem } from '../../core/problems/problem.ts';
import { type Asked, type Handlers, items, json } from './handler.ts';
import type { inventoryRoutes } from './inventory-routes.ts';
import { showExceptions } from './show-exceptions.ts';
import { type EnvoyStatus, showPath, showProxies } from './show-fleet.ts';

export type InventoryDeps = {
  readonly database: AuditedDatabase;
  readonly place: DeclarationPlace;
  /** Told when what settings are made from changed. */
  readonly desiredChanged: Signal;
  readonly kek: KeyEncryptionKey;
  /** Told when other ticket keys were asked for. */
  readonly ticketsOrdered: Signal;
  /** Fetches keys that these policies need and that nobody has. */
  readonly learnKeys: (policies: readonly Policy[], asker: { readonly mayName: boolean }, now: Instant) => Promise<void>;
  /** Has the doors use the declared profiles as they are now. */
  readonly reloadProfiles: () => Promise<void>;
  /** Endpoints that were proven once. */
  readonly readLatched: ViewDeps['readLatched'];
  /** What this process knows of the Envoy of a proxy. */
  readonly envoyOf: (proxyId: EntityId<'proxy'>) => EnvoyStatus | null;
};

export function inventoryHandlers({
  database,
  place,
  desiredChanged,
  kek,
  ticketsOrdered,
  learnKeys,
  reloadProfiles,
  readLatched,
  envoyOf,
}: InventoryDeps): Pick<Handlers, keyof typeof inventoryRoutes> {
  const { queries } = database;
  const read = (text: string, { demand }: Asked): readonly Declaration[] => {
    const declarations = parseDeclaration(text);
    for (const environment of new Set(declarations.map((declaration) => declaration.environment ?? place.environment))) demand(environment);
    return declarations;
  };
  return {
    'diff-declaration': async (call) => {
      const declarations = read(call.body.text, call);
      const changes = await diffDeclaration({ queries, place }, declarations, call.now);
      const judge = (unit: Queries) => listUnable(unit, { trustDomain: place.trustDomain, readLatched }, call.now);
      const objections = changes.length === 0 ? [] : await tryDeclaration({ database, place, judge }, declarations, call.actor, call.now);
      return json({ changes, objections: objections.slice(0, MAXIMUM_OBJECTIONS) });
    },
    'apply-declaration': async (call) => {
      const judge = (unit: Queries) => refuseUnable(unit, { trustDomain: place.trustDomain, readLatched }, call.now);
      const deps = { database, place, changed: desiredChanged, permit: permitBy(call.principal), judge };
      const declarations = read(call.body.text, call);
      await learnKeys(policiesOf(declarations), { mayName: roleCovers(call.principal.role, 'admin') }, call.now);
      const changes = await applyDeclaration(deps, declarations, call.actor, call.now);
      if (changes.some(({ kind }) => kind === 'Profile')) await reloadProfiles();
      return json({ changes });
    },
    'list-services': async ({ scope }) => items(await listServices(queries, scope)),
    'list-endpoints': async ({ scope }) => {
      const services = new Map((await listServices(queries, scope)).map(({ id, name }) => [id, name]));
      const discovered = new Map((await listDiscovered(queries, scope)).map((found) => [`${found.environment}/${found.address}`, found]));
      const endpoints = await listEndpoints(queries, scope);
      return items(
        endpoints.map((endpoint) => ({
          ...endpoint,
          service: services.get(endpoint.serviceId),
          observed: endpoint.addresses.flatMap((address) => discovered.get(`${endpoint.environment}/${address}`) ?? []),
        })),
      );
    },
    'list-paths': async ({ scope }) => {
      const endpoints = new Map((await listEndpoints(queries, '*')).map((endpoint) => [endpoint.id, endpoint]));
      const modes = new Map((await listPathModes(queries, scope)).map((mode) => [mode.pathId, mode]));
      const services = await listServices(queries, '*');
      const foreign = new Set(services.filter(({ spiffeId }) => trustDomainOf(spiffeId) !== place.trustDomain).map(({ id }) => id));
      return items((await listPaths(queries, scope)).map((path) => showPath(path, { endpoints, modes, foreign })));
    },
    'list-exceptions': async ({ scope, now }) => items(await showExceptions(queries, scope, now)),
    'list-policies': async ({ scope }) =>
      items((await listPolicies(queries, scope)).map((record) => ({ ...record, meaning: explainPolicy(record.policy) }))),
    'list-profiles': async ({ scope }) => items(await listProfiles(queries, scope)),
    'list-targets': async ({ scope }) => items(await listTargets(queries, scope)),
    'list-discovered': async ({ scope }) => {
      const owners = new Map(
        (await listEndpoints(queries, scope)).flatMap(({ environment, name, addresses }) =>
          addresses.map((address): [string, string] => [`${environment}/${address}`, name]),
        ),
      );
      const discovered = await listDiscovered(queries, scope);
      return items(discovered.map((found) => ({ ...found, endpoint: owners.get(`${found.environment}/${found.address}`) ?? null })));
    },
    'record-discovered': async ({ body, environment, actor, now }) => {
      const request = { environment, region: place.region, observations: body.observations };
      return json(await recordDiscovered({ database }, request, actor, now));
    },
    'list-proxies': async ({ scope }) => items(await showProxies(queries, scope, envoyOf)),
    'request-renewal': async ({ body, scope, actor, now }) => {
      const request = { subject: body.subject, scope, reason: body.reason ?? '' };
      return json(await requestRenewal({ database, changed: desiredChanged }, request, actor, now));
    },
    'rotate-ticket-keys': async ({ body, scope, actor, now }) => {
      const request = { service: body.service ?? null, scope, rotation: body.rotation, reason: body.reason ?? '' };
      return json(await rotateTickets({ database, kek, changed: ticketsOrdered }, request, actor, now));
    },
  };
}

function policiesOf(declarations: readonly Declaration[]): readonly Policy[] {
  return declarations.flatMap((declaration) => (declaration.kind === 'Policy' ? [declaration.policy] : []));
}

/**
 * Who may declare profiles could take away the approvals that bind them, so that takes more than the role of who asks and approves. Whom another trust
 * domain vouches for is let in on its word, which is as much.
 */
function permitBy({ role }: Principal): (change: ShownChange) => void {
  return ({ kind, name }) => {
    if ((kind === 'Profile' || kind === 'FederatedTrustDomain') && !roleCovers(role, 'admin'))
      throw new Problem('forbidden', `Cannot change ${kind} ${name}: the token's role is ${role}, expected one that covers admin`);
  };
}

/** One mistake in a policy is an objection of each Envoy that it is for. */
const MAXIMUM_OBJECTIONS = 100;
