import { canonicalJson, WrittenJson } from '../../core/merkle/canonical-json.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { AuditedUnit, AuditEntry, AuditReceipt, JsonValue } from './entry.ts';
import { hidePersons, personsIn } from './hide-persons.ts';

/**
 * Records an entry in the commit of the change that it tells of. The receipt is filled by the seal;
 * when `commit` resolves, the entry is under a signed checkpoint.
 * @throws input-invalid on what the log cannot hold: here, so that it fails its own unit and not all that share the commit
 */
export function recordEntry(unit: AuditedUnit, entry: AuditEntry): AuditReceipt {
  const persons = personsIn(entry.data);
  const data = new WrittenJson(persons.length === 0 ? (entry.data as JsonValue) : hidePersons(entry.data, () => EMPTY_HASH));
  checkEntry(entry, persons, data);
  const receipt: AuditReceipt = { entryId: 'entry_', leafIndex: -1 };
  unit.stage({ entry, persons, data, receipt });
  return receipt;
}

function checkEntry({ type, at, environment, region, actor }: AuditEntry, persons: readonly string[], data: WrittenJson): void {
  // The log cannot hold every text; a name that it never sees has to be one all the same.
  for (const name of persons) canonicalJson(name);

  const sizeOctets = sizeOf({ type, at, environment, region, actor }, data);
  if (sizeOctets > MAXIMUM_OCTETS) {
    throw new Problem('input-invalid', `Cannot record ${type}: ${sizeOctets} octets, expected at most ${MAXIMUM_OCTETS}`);
  }
  // PostgreSQL has no text with a zero in it. Inside `data` it is escaped.
  if ([type, environment, region, actor.name, ...persons].some((text) => text.includes('\0'))) {
    throw new Problem('input-invalid', `Cannot record ${JSON.stringify(type)}: a name holds a zero character`);
  }
}

/** In octets, as the log writes it; of a small entry no more than a bound: what is written twice costs twice. @throws input-invalid */
function sizeOf(head: Pick<AuditEntry, 'type' | 'at' | 'environment' | 'region' | 'actor'>, data: WrittenJson): number {
  const { type, at, environment, region, actor } = head;
  const texts = [type, environment, region, actor.name];
  // JSON writes no character of a text in more than six octets.
  const bound = Buffer.byteLength(data.text) + texts.reduce((sum, text) => sum + 6 * text.length, FRAME_OCTETS);
  if (bound <= MAXIMUM_OCTETS && Number.isFinite(at) && texts.every((text) => text.isWellFormed())) return bound;
  return Buffer.byteLength(canonicalJson({ ...head, data }));
}

/** More than the names of the members, a time and the kind of an actor take. */
const FRAME_OCTETS = 200;
/** A leaf may have 65,535 octets (C2SP tlog-tiles); the rest is left for its version, its id and a person's hash. */
const MAXIMUM_OCTETS = 65_000;
/** As long as every other. */
const EMPTY_HASH = '0'.repeat(64);
