import { hkdfSync, randomBytes } from 'node:crypto';
import type { AuditedDatabase } from '../../control/audit/entry.ts';
import { findKey, insertKey, type KeyRecord } from '../../control/ca/key-store.ts';
import { Secret } from '../../core/secrets/secret.ts';
import type { Instant } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { KeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';
import { type KeyUse, openKey, sealKey } from '../../platform/signer/key-envelope.ts';

/** What nonces and binding keys are derived from; the same in every replica and after every start. */
export type AcmeSecrets = { readonly nonces: Secret<Uint8Array>; readonly bindings: Secret<Uint8Array> };

/** Opens the stored secret, or makes it at the first start. @throws key-locked */
export async function ensureAcmeSecrets(
  deps: { readonly database: AuditedDatabase; readonly kek: KeyEncryptionKey },
  place: { readonly environment: string; readonly region: string },
  now: Instant,
): Promise<AcmeSecrets> {
  const { database, kek } = deps;
  const held = await findKey(database.queries, ACME_USE.ownerId, ACME_USE.purpose);
  const record = held ?? (await makeSecret(deps, place, now));
  const root = openKey(kek, ACME_USE, record.envelope).reveal();
  const derive = (label: string): Secret<Uint8Array> => new Secret<Uint8Array>(Buffer.from(hkdfSync('sha256', root, '', label, 32)));
  return { nonces: derive('countersign acme nonces v1'), bindings: derive('countersign acme bindings v1') };
}

async function makeSecret(
  { database, kek }: { readonly database: AuditedDatabase; readonly kek: KeyEncryptionKey },
  place: { readonly environment: string; readonly region: string },
  now: Instant,
): Promise<KeyRecord> {
  const made: KeyRecord = {
    id: newEntityId('key', now),
    ...ACME_USE,
    ...place,
    // A symmetric secret has no public half.
    spki: Buffer.alloc(0),
    envelope: sealKey(kek, ACME_USE, new Secret<Uint8Array>(randomBytes(32))),
    createdAt: now,
  };
  // Two replicas may start at once: the first one's secret is everybody's.
  return database.commit(async (unit) => {
    const other = await findKey(unit.queries, ACME_USE.ownerId, ACME_USE.purpose);
    if (other === null) await insertKey(unit.queries, made);
    return other ?? made;
  });
}

const ACME_USE = { ownerId: 'acme', purpose: 'acme' } as const satisfies KeyUse;
