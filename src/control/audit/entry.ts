import type { EntityId } from '../../core/ids/entity-id.ts';
import type { WrittenJson } from '../../core/merkle/canonical-json.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Database, FencedUnit, UnitOfWork } from '../../platform/db/database.ts';
import type { Person } from './person.ts';

/** Who caused a change. A person's clear name is kept apart, erasable; the leaf holds its salted hash. */
export type Actor =
  | { readonly kind: 'person'; readonly name: string }
  | { readonly kind: 'machine'; readonly name: string }
  | { readonly kind: 'system'; readonly name: string };

/** What is recorded: plain JSON values, and persons by `Person`, never in clear. Types are dotted, past tense: `certificate.reserved`, `identity.suspended`. */
export type AuditEntry = {
  readonly type: `${string}.${string}`;
  readonly at: Instant;
  readonly environment: string;
  readonly region: string;
  readonly actor: Actor;
  readonly data: { readonly [name: string]: DataValue };
};

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [name: string]: JsonValue };

/** What data may hold before the seal has put hashes in the place of persons. */
export type DataValue = Person | string | number | boolean | null | readonly DataValue[] | { readonly [name: string]: DataValue };

/** Where an entry stands. Both fields are filled by the seal of its commit; read them after `commit` resolved. */
export type AuditReceipt = { entryId: EntityId<'entry'>; leafIndex: number };

/** What use cases stage: made by `recordEntry` in `record-entry.ts`. */
export type StagedEntry = {
  readonly entry: AuditEntry;
  /** Those named in the data; the actor is not among them. */
  readonly persons: readonly string[];
  /** The data as it stands in the leaf, if no persons are named in it. */
  readonly data: WrittenJson;
  readonly receipt: AuditReceipt;
};

/** The database as all of control sees it: every change can carry audit entries. */
export type AuditedDatabase = Database<StagedEntry>;
export type AuditedUnit = UnitOfWork<StagedEntry>;
export type AuditedFence = FencedUnit<StagedEntry>;
