import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Secret } from '../../core/secrets/secret.ts';
import { HOUR_MS, type Instant } from '../../core/time/instant.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { KeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';
import { openKey } from '../../platform/signer/key-envelope.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { deleteKey, type KeyRecord, listKeysFor } from '../ca/key-store.ts';
import { listTicketOwners, replaceTicketKey } from './rotate-tickets.ts';

/** The ticket keys of one identity as they are delivered. */
export type HeldTicketKeys = { readonly keyId: EntityId<'key'>; readonly spiffeId: SpiffeId; readonly secret: Secret<Uint8Array> };

export type TicketKeyringDeps = {
  readonly database: AuditedDatabase;
  readonly kek: KeyEncryptionKey;
  /** Told when some data plane's keys are others. */
  readonly changed: Signal;
};

/** The ticket keys of all identities that serve, opened once, so that thousands of streams ask no database for them. */
export class TicketKeyring {
  readonly #deps: TicketKeyringDeps;
  #byProxy: ReadonlyMap<EntityId<'proxy'>, HeldTicketKeys> = new Map();

  constructor(deps: TicketKeyringDeps) {
    this.#deps = deps;
  }

  /** The keys that this proxy may have: null if it serves nothing, or is not of the identity that the declaration gives it. */
  keysOf(node: { readonly proxyId: EntityId<'proxy'>; readonly spiffeId: SpiffeId }): HeldTicketKeys | null {
    const held = this.#byProxy.get(node.proxyId);
    return held?.spiffeId === node.spiffeId ? held : null;
  }

  /** Makes keys for who has none, rotates those that are due, forgets those of nobody, and takes over what others changed. */
  async reconcile(now: Instant): Promise<void> {
    const { database, changed } = this.#deps;
    const owners = await listTicketOwners(database.queries, '*');
    const held = await this.#held(database.queries);
    const due = owners.filter(({ spiffeId }) => (held.get(spiffeId)?.createdAt ?? -Infinity) + ROTATE_MS <= now);
    const serving = new Set<string>(owners.map(({ spiffeId }) => spiffeId));
    const gone = [...held.values()].filter(({ ownerId }) => !serving.has(ownerId));
    if (due.length + gone.length > 0) await this.#renew(due, gone, now);
    const next = this.#open(owners, due.length === 0 ? held : await this.#held(database.queries));
    const isSame = next.size === this.#byProxy.size && [...next].every(([id, { keyId }]) => this.#byProxy.get(id)?.keyId === keyId);
    this.#byProxy = next;
    if (!isSame) changed.notify();
  }

  #renew(due: Awaited<ReturnType<typeof listTicketOwners>>, gone: readonly KeyRecord[], now: Instant): Promise<void> {
    const { database, kek } = this.#deps;
    const actor = { kind: 'system', name: 'ticket-keys' } as const;
    return database.commit(async (unit) => {
      // Read again: another process may have been first.
      const held = await this.#held(unit.queries);
      for (const { id } of gone) await deleteKey(unit.queries, id);
      for (const owner of due) {
        const before = held.get(owner.spiffeId) ?? null;
        if (before !== null && before.createdAt + ROTATE_MS > now) continue;
        await replaceTicketKey(unit, { kek, owner, held: before, rotation: 'step', reason: 'schedule', actor }, now);
      }
    });
  }

  async #held(queries: Queries): Promise<ReadonlyMap<string, KeyRecord>> {
    return new Map((await listKeysFor(queries, 'ticket')).map((record) => [record.ownerId, record]));
  }

  #open(
    owners: Awaited<ReturnType<typeof listTicketOwners>>,
    records: ReadonlyMap<string, KeyRecord>,
  ): ReadonlyMap<EntityId<'proxy'>, HeldTicketKeys> {
    const known = new Map([...this.#byProxy.values()].map((keys) => [keys.keyId, keys]));
    const byProxy = new Map<EntityId<'proxy'>, HeldTicketKeys>();
    for (const { spiffeId, proxyIds } of owners) {
      const record = records.get(spiffeId);
      if (record === undefined) continue;
      const use = { ownerId: spiffeId, purpose: 'ticket' } as const;
      const keys = known.get(record.id) ?? { keyId: record.id, spiffeId, secret: openKey(this.#deps.kek, use, record.envelope) };
      for (const proxyId of proxyIds) byProxy.set(proxyId, keys);
    }
    return byProxy;
  }
}

/**
 * A key seals for this long and opens for twice as long, so that it betrays at most that much of old TLS 1.2 traffic (RFC 9325
 * section 4.1.1 asks for regular change); a ticket lives half an hour, so none is ever lost to a rotation.
 */
const ROTATE_MS = 4 * HOUR_MS;
