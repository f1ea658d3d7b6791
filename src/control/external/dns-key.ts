import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Secret } from '../../core/secrets/secret.ts';
import type { KeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';
import { openKey } from '../../platform/signer/key-envelope.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { findKey } from '../ca/key-store.ts';

/** The key by which updates of the authority's zones are signed; null: none is stored. */
export async function openDnsKey(
  { database, kek }: { readonly database: AuditedDatabase; readonly kek: KeyEncryptionKey },
  authorityId: EntityId<'authority'>,
): Promise<Secret<Uint8Array> | null> {
  const use = { ownerId: authorityId, purpose: 'external-dns-key' } as const;
  const held = await findKey(database.queries, use.ownerId, use.purpose);
  return held === null ? null : openKey(kek, use, held.envelope);
}
