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

  const sizeOctets = Buffer.byteLength(canonicalJson({ type, at, environment, region, actor, data }));
  if (sizeOctets > MAXIMUM_OCTETS) {
    throw new Problem('input-invalid', `Cannot record ${type}: ${sizeOctets} octets, expected at most ${MAXIMUM_OCTETS}`);
  }
  // PostgreSQL has no text with a zero in it. Inside `data` it is escaped.
  if ([type, environment, region, actor.name, ...persons].some((text) => text.includes('\0'))) {
    throw new Problem('input-invalid', `Cannot record ${JSON.stringify(type)}: a name holds a zero character`);
  }
}

/** A leaf may have 65,535 octets (C2SP tlog-tiles); the rest is left for its version, its id and a person's hash. */
const MAXIMUM_OCTETS = 65_000;
/** As long as every other. */
const EMPTY_HASH = '0'.repeat(64);
