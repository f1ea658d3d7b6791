import type { DataValue, JsonValue } from './entry.ts';
import { Person } from './person.ts';

/** The names of all persons in the data, each once. */
export function personsIn(data: DataValue): readonly string[] {
  const names = new Set<string>();
  collect(data, names);
  return [...names];
}

function collect(value: DataValue, into: Set<string>): void {
  if (value instanceof Person) into.add(value.name);
  else if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) collect(inner as DataValue, into);
}

/** The data as it enters a leaf: `{"person": HASH}` in the place of each name. */
export function hidePersons(data: DataValue, hashOf: (name: string) => string): JsonValue {
  if (data instanceof Person) return { person: hashOf(data.name) };
  if (isList(data)) return data.map((inner) => hidePersons(inner, hashOf));
  if (typeof data !== 'object' || data === null) return data;
  return Object.fromEntries(Object.entries(data).map(([key, inner]) => [key, hidePersons(inner, hashOf)]));
}

/** The hashes that a leaf holds in the place of names, its actor's not among them. */
export function personHashesIn(leaf: string): readonly string[] {
  return [...leaf.matchAll(/"person":"([0-9a-f]{64})"/g)].map(([, hash]) => hash!);
}

const isList = (value: DataValue): value is readonly DataValue[] => Array.isArray(value);
