import { hkdfSync } from 'node:crypto';
import type { AuditedDatabase } from '../../control/audit/entry.ts';
import { ensureStoredSecret } from '../../control/ca/stored-secret.ts';
import { Secret } from '../../core/secrets/secret.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { KeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';

/** What nonces and binding keys are derived from; the same in every replica and after every start. */
export type AcmeSecrets = { readonly nonces: Secret<Uint8Array>; readonly bindings: Secret<Uint8Array> };

/** Opens the stored secret, or makes it at the first start. @throws key-locked */
export async function ensureAcmeSecrets(
  deps: { readonly database: AuditedDatabase; readonly kek: KeyEncryptionKey },
  place: { readonly environment: string; readonly region: string },
  now: Instant,
): Promise<AcmeSecrets> {
  const root = (await ensureStoredSecret(deps, { ownerId: 'acme', purpose: 'acme' }, place, now)).reveal();
  const derive = (label: string): Secret<Uint8Array> => new Secret<Uint8Array>(Buffer.from(hkdfSync('sha256', root, '', label, 32)));
  return { nonces: derive('countersign acme nonces v1'), bindings: derive('countersign acme bindings v1') };
}
