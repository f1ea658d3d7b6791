import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Database, UnitOfWork } from '../../platform/db/database.ts';

/** Who caused a change. A person's clear name is kept apart, erasable; the leaf holds its salted hash. */
export type Actor =
  | { readonly kind: 'person'; readonly name: string }
  | { readonly kind: 'machine'; readonly name: string }
  | { readonly kind: 'system'; readonly name: string };

/** What is recorded: plain JSON values only. Types are dotted, past tense: `certificate.reserved`, `identity.suspended`. */
export type AuditEntry = {
  readonly type: `${string}.${string}`;
  readonly at: Instant;
  readonly environment: string;
  readonly region: string;
  readonly actor: Actor;
  readonly data: { readonly [name: string]: JsonValue };
};

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [name: string]: JsonValue };

/** Where an entry stands. Both fields are filled by the seal of its commit; read them after `commit` resolved. */
export type AuditReceipt = { entryId: EntityId<'entry'>; leafIndex: number };

/** What use cases stage: made by `record` in `record-entry.ts`. */
export type StagedEntry = { readonly entry: AuditEntry; readonly receipt: AuditReceipt };

/** The database as all of control sees it: every change can carry audit entries. */
export type AuditedDatabase = Database<StagedEntry>;
export type AuditedUnit = UnitOfWork<StagedEntry>;
