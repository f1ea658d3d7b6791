import { canonicalJson } from '../../core/merkle/canonical-json.ts';
import { diffPolicy } from '../../core/policy/diff-policy.ts';
import { defaultPolicy } from '../../core/policy/policy.ts';
import type { Actor, AuditedUnit } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { deletePolicy, type PolicyRecord, upsertPolicy } from './store.ts';

/** Gives a name its content, in the commit of the declaration; the entry says what changed against the content before. */
export async function setPolicy(unit: AuditedUnit, record: PolicyRecord, before: PolicyRecord | null, actor: Actor): Promise<void> {
  const { id, environment, region, name, digest, updatedAt } = record;
  await upsertPolicy(unit.queries, record, canonicalJson(record.policy));
  recordEntry(unit, {
    type: 'policy.set',
    at: updatedAt,
    environment,
    region,
    actor,
    data: {
      policyId: id,
      name,
      digest,
      previousDigest: before?.digest ?? null,
      changes: diffPolicy(before?.policy ?? defaultPolicy, record.policy).map((change) => ({ ...change })),
    },
  });
}

/** Takes a name away; its content stays readable by its digest. */
export async function removePolicy(unit: AuditedUnit, record: PolicyRecord, actor: Actor, now: number): Promise<void> {
  const { id, environment, region, name, digest } = record;
  await deletePolicy(unit.queries, id);
  recordEntry(unit, { type: 'policy.removed', at: now, environment, region, actor, data: { policyId: id, name, digest } });
}
