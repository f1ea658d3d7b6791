import type { AuditedUnit, AuditEntry, AuditReceipt } from './entry.ts';

/**
 * Records an entry in the commit of the change that it tells of. The receipt is filled by the seal;
 * when `commit` resolves, the entry is under a signed checkpoint.
 */
export function recordEntry(unit: AuditedUnit, entry: AuditEntry): AuditReceipt {
  const receipt: AuditReceipt = { entryId: 'entry_', leafIndex: -1 };
  unit.stage({ entry, receipt });
  return receipt;
}
