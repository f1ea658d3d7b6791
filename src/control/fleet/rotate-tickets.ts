import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Queries } from '../../platform/db/database.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { KeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';
import { openKey, sealKey } from '../../platform/signer/key-envelope.ts';
import type { Scope } from '../access/principal.ts';
import type { Actor, AuditedDatabase, AuditedUnit } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { deleteKey, findKey, insertKey, type KeyRecord } from '../ca/key-store.ts';
import { listDeclaredProxies, listServices } from '../inventory/store.ts';
import { newTicketSecret, stepTicketSecret, type TicketRotation } from './ticket-secret.ts';

/** Whose tickets: of one identity, whose data planes could all speak in its name anyway. */
export type TicketOwner = { readonly spiffeId: SpiffeId; readonly environment: string; readonly region: string };

export type TicketRequest = {
  /** A service by name, or null for all. */
  readonly service: string | null;
  readonly scope: Scope;
  readonly rotation: TicketRotation;
  readonly reason: string;
};

/** Rotates on demand; the data planes follow at once. @throws not-found if nobody of these serves */
export async function rotateTickets(
  deps: { readonly database: AuditedDatabase; readonly kek: KeyEncryptionKey; readonly changed: Signal },
  request: TicketRequest,
  actor: Actor,
  now: Instant,
): Promise<{ readonly identities: readonly SpiffeId[] }> {
  const { service, scope, rotation, reason } = request;
  const rotated = await deps.database.commit(async (unit) => {
    const services = new Map((await listServices(unit.queries, scope)).map(({ id, name }) => [id, name]));
    const owners = (await listTicketOwners(unit.queries, scope)).filter(
      ({ serviceIds }) => service === null || serviceIds.some((id) => services.get(id) === service),
    );
    if (owners.length === 0) throw new Problem('not-found', `Cannot rotate ticket keys: nobody serves ${nameOf(service)}`);
    for (const owner of owners) {
      const held = await findKey(unit.queries, owner.spiffeId, 'ticket');
      const made = await replaceTicketKey(unit, { kek: deps.kek, owner, held, rotation, reason, actor }, now);
      // Nobody may be told that all keys were replaced when a step by another process kept one of them.
      if (made === null) throw new Problem('state-conflict', `Cannot rotate ticket keys of ${owner.spiffeId}: they were rotated just now`);
    }
    return owners.map(({ spiffeId }) => spiffeId);
  });
  deps.changed.notify();
  return { identities: rotated };
}

/** The identities with a proxy that receives calls. */
export async function listTicketOwners(
  queries: Queries,
  scope: Scope,
): Promise<(TicketOwner & { readonly proxyIds: readonly EntityId<'proxy'>[]; readonly serviceIds: readonly EntityId<'service'>[] })[]> {
  const serving = (await listDeclaredProxies(queries, scope)).filter(({ inbound }) => inbound.length > 0);
  return [...Map.groupBy(serving, ({ spiffeId }) => spiffeId)].map(([spiffeId, proxies]) => ({
    spiffeId,
    environment: proxies[0]!.environment,
    region: proxies[0]!.region,
    proxyIds: proxies.map(({ id }) => id),
    serviceIds: proxies.flatMap(({ serviceId }) => (serviceId === null ? [] : [serviceId])),
  }));
}

export type TicketReplacement = {
  readonly kek: KeyEncryptionKey;
  readonly owner: TicketOwner;
  readonly held: KeyRecord | null;
  readonly rotation: TicketRotation;
  readonly reason: string;
  readonly actor: Actor;
};

/** Puts new keys in the place of those held, with an entry that tells of it and not of them. Null if another process was first. */
export async function replaceTicketKey(unit: AuditedUnit, replacement: TicketReplacement, now: Instant): Promise<KeyRecord | null> {
  const { kek, owner, held, rotation, reason, actor } = replacement;
  if (held !== null && !(await deleteKey(unit.queries, held.id))) return null;
  const { spiffeId, environment, region } = owner;
  const use = { ownerId: spiffeId, purpose: 'ticket' } as const;
  const secret = held === null || rotation === 'replace-all' ? newTicketSecret() : stepTicketSecret(openKey(kek, use, held.envelope));
  const made: KeyRecord = {
    id: newEntityId('key', now),
    ...use,
    environment,
    region,
    // A symmetric secret has no public half.
    spki: Buffer.alloc(0),
    envelope: sealKey(kek, use, secret),
    createdAt: now,
  };
  await insertKey(unit.queries, made);
  const data = { spiffeId, keyId: made.id, rotation: held === null ? 'first' : rotation, reason };
  recordEntry(unit, { type: 'ticket-keys.rotated', at: now, environment, region, actor, data });
  return made;
}

function nameOf(service: string | null): string {
  return service === null ? 'in this scope' : `of service ${JSON.stringify(service.slice(0, 100))}`;
}
