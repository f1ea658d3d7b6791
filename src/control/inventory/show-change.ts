import { createHash } from 'node:crypto';
import type { JsonValue } from '../audit/entry.ts';
import type { InventoryChange, ShownChange } from './inventory-change.ts';
import type { InventorySnapshot } from './snapshot.ts';

/** Makes changes fit for a person and for a leaf of the log: names for ids, and a digest for what is long. */
export function showChanges(changes: readonly InventoryChange[], snapshot: InventorySnapshot): readonly ShownChange[] {
  const endpointName = new Map<string, string>(snapshot.endpoints.map(({ id, name }) => [id, name]));
  const names = new Map<string, string>([
    ...[...snapshot.services, ...snapshot.endpoints].map(({ id, name }): [string, string] => [id, name]),
    ...changes.flatMap(({ after, name }): [string, string][] => (after === null ? [] : [[after.id, name]])),
    ...snapshot.paths.map(({ id, caller, endpointId }): [string, string] => [
      id,
      `${caller} → ${endpointName.get(endpointId) ?? endpointId}`,
    ]),
  ]);
  return changes.map((change) => showChange(change, names));
}

function showChange({ action, kind, environment, name, before, after }: InventoryChange, names: ReadonlyMap<string, string>): ShownChange {
  const old = spreadTerms(before as unknown as Shown | null);
  const next = spreadTerms(after as unknown as Shown | null);
  const fields = Object.keys(next ?? {}).flatMap((key) => {
    if (unshown.has(key)) return [];
    const shown = { field: shownKey(key), ...showBoth(old?.[key], next?.[key], names) };
    return JSON.stringify(shown.before) === JSON.stringify(shown.after) ? [] : [shown];
  });
  return { action, kind, environment, name, fields };
}

type Shown = { readonly [field: string]: unknown };

/** What an exception lets in is what its log is read for: each part of it is a field by itself, and shown item by item. */
function spreadTerms(thing: Shown | null): Shown | null {
  const terms = thing?.['anonymous'];
  return typeof terms === 'object' && terms !== null ? { ...thing, ...terms } : thing;
}

type Both = { readonly before: JsonValue; readonly after: JsonValue };

function showBoth(old: unknown, next: unknown, names: ReadonlyMap<string, string>): Both {
  const [before, after] = [nameIds(old ?? null, names), nameIds(next ?? null, names)];
  if (isShort(before) && isShort(after)) return { before, after };
  if (Array.isArray(after) && (before === null || Array.isArray(before))) return showLists(before ?? [], after);
  return { before: isShort(before) ? before : digestOf(before), after: isShort(after) ? after : digestOf(after) };
}

/** Of long lists what comes and what goes. */
function showLists(before: readonly JsonValue[], after: readonly JsonValue[]): Both {
  const [old, next] = [before, after].map((list) => new Set(list.map((item) => JSON.stringify(item))));
  const added = [...next!].filter((item) => !old!.has(item));
  const removed = [...old!].filter((item) => !next!.has(item));
  return {
    before: `${before.length} items, ${digestOf(before)}`,
    after: {
      items: after.length,
      digest: digestOf(after),
      addedCount: added.length,
      added: firstOf(added),
      removedCount: removed.length,
      removed: firstOf(removed),
    },
  };
}

function firstOf(items: readonly string[]): JsonValue {
  return items.slice(0, MAXIMUM_ITEMS).map((item) => item.slice(0, MAXIMUM_ITEM_CHARACTERS));
}

function isShort(value: JsonValue): boolean {
  return JSON.stringify(value).length <= MAXIMUM_CHARACTERS;
}

function digestOf(value: JsonValue): string {
  return `sha256 ${createHash('sha256').update(JSON.stringify(value)).digest('hex')}`;
}

/** Ids say nothing to a person: what they stand for does. */
function nameIds(value: unknown, names: ReadonlyMap<string, string>): JsonValue {
  if (typeof value === 'string') return names.get(value) ?? value;
  if (Array.isArray(value)) return value.map((item: unknown) => nameIds(item, names));
  if (typeof value !== 'object' || value === null) return value as JsonValue;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [shownKey(key), nameIds(inner, names)]));
}

function shownKey(key: string): string {
  return key.endsWith('Id') && key !== 'spiffeId' ? key.slice(0, -2) : key;
}

const unshown = new Set(['id', 'environment', 'name', 'updatedAt', 'digest', 'anonymous']);
/** All fields of one change together stay below the 64 KiB of a leaf (C2SP tlog-tiles). */
const MAXIMUM_CHARACTERS = 1_000;
const MAXIMUM_ITEMS = 50;
const MAXIMUM_ITEM_CHARACTERS = 150;
