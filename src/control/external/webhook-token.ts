import type { EntityId } from '../../core/ids/entity-id.ts';
import { Secret } from '../../core/secrets/secret.ts';
import type { KeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';
import { openKey } from '../../platform/signer/key-envelope.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { findKey } from '../ca/key-store.ts';

/** The bearer token that the authority's webhook wants; null: none is stored. */
export async function openWebhookToken(
  { database, kek }: { readonly database: AuditedDatabase; readonly kek: KeyEncryptionKey },
  authorityId: EntityId<'authority'>,
): Promise<Secret | null> {
  const use = { ownerId: authorityId, purpose: 'external-webhook' } as const;
  const held = await findKey(database.queries, use.ownerId, use.purpose);
  return held === null ? null : new Secret(Buffer.from(openKey(kek, use, held.envelope).reveal()).toString('latin1'));
}
