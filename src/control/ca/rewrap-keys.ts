import type { Instant } from '../../core/time/instant.ts';
import type { KeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';
import { rewrapEnvelope } from '../../platform/signer/key-envelope.ts';
import type { Actor, AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { listKeys, replaceKeyEncryptionKey, updateEnvelope } from './key-store.ts';
import { type KeySource, prepareKey } from './unlock-keys.ts';

/**
 * Puts all keys under another key file or passphrase, in one commit; the keys themselves stay.
 * The old source is worthless for this database from then on.
 * @throws key-file-unsafe, key-locked
 */
export async function rewrapKeys(
  deps: { readonly database: AuditedDatabase; readonly kek: KeyEncryptionKey },
  request: { readonly source: KeySource; readonly environment: string; readonly region: string },
  actor: Actor,
  now: Instant,
): Promise<KeyEncryptionKey> {
  const { kek: next, record } = await prepareKey(request.source, now);
  await deps.database.commit(async (unit) => {
    const keys = await listKeys(unit.queries);
    for (const key of keys) await updateEnvelope(unit.queries, key.id, rewrapEnvelope(deps.kek, next, key, key.envelope));
    await replaceKeyEncryptionKey(unit.queries, record);
    recordEntry(unit, {
      type: 'keys.rewrapped',
      at: now,
      environment: request.environment,
      region: request.region,
      actor,
      data: { from: deps.kek.id, to: next.id, keys: keys.length },
    });
  });
  return next;
}
