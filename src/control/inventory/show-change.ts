import { createHash } from 'node:crypto';
import type { JsonValue } from '../audit/entry.ts';
import type { InventoryChange, ShownChange } from './inventory-change.ts';
import type { InventorySnapshot } from './snapshot.ts';

/** Makes changes fit for a person and for a leaf of the log: names for ids, and a digest for what is long. */
export function showChanges(changes: readonly InventoryChange[], snapshot: InventorySnapshot): readonly ShownChange[] {
  const names = new Map<string, string>([
    ...[...snapshot.services, ...snapshot.endpoints].map(({ id, name }): [string, string] => [id, name]),
    ...changes.flatMap(({ after, name }): [string, string][] => (after === null ? [] : [[after.id, name]])),
    ...snapshot.paths.map(({ id, caller, endpointId }): [string, string] => [id, `${caller} → ${endpointId}`]),
  ]);
  return changes.map((change) => showChange(change, names));
}

function showChange({ action, kind, environment, name, before, after }: InventoryChange, names: ReadonlyMap<string, string>): ShownChange {
  const old = before as unknown as { readonly [field: string]: unknown } | null;
  const next = after as unknown as { readonly [field: string]: unknown } | null;
  const fields = Object.keys(next ?? {}).flatMap((field) => {
    if (unshown.has(field)) return [];
    const shown = { field, before: show(old?.[field], names), after: show(next?.[field], names) };
    return JSON.stringify(shown.before) === JSON.stringify(shown.after) ? [] : [shown];
  });
  return { action, kind, environment, name, fields };
}

function show(value: unknown, names: ReadonlyMap<string, string>): JsonValue {
  const text = JSON.stringify(value ?? null, (_key, inner: unknown) => (typeof inner === 'string' ? (names.get(inner) ?? inner) : inner));
  if (text.length <= MAXIMUM_CHARACTERS) return JSON.parse(text) as JsonValue;
  return `${text.length} characters, sha256 ${createHash('sha256').update(text).digest('hex')}`;
}

const unshown = new Set(['id', 'environment', 'name', 'updatedAt', 'digest']);
/** Two of each of a dozen fields stay far below the 64 KiB of a leaf (C2SP tlog-tiles). */
const MAXIMUM_CHARACTERS = 1_000;
