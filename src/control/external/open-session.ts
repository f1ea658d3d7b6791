import { createPrivateKey, createPublicKey } from 'node:crypto';
import { Secret } from '../../core/secrets/secret.ts';
import { AcmeSession } from '../../platform/acme/acme-session.ts';
import { makeAcmeAccountKey, type AcmeAccountKey, openAcmeAccountKey } from '../../platform/acme/sign-jws.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { NameResolver } from '../../platform/network/name-resolver.ts';
import type { OutsidePolicy } from '../../platform/network/outside-policy.ts';
import type { KeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';
import { openKey, sealKey } from '../../platform/signer/key-envelope.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { findKey, insertKey } from '../ca/key-store.ts';
import type { ExternalAuthorityRecord } from './external-authority.ts';
import { setAccount } from './store.ts';

/** What asking another CA takes: our state, and the way out. */
export type ExternalDeps = {
  readonly database: AuditedDatabase;
  readonly kek: KeyEncryptionKey;
  readonly clock: Clock;
  readonly resolver: NameResolver;
  readonly policy: OutsidePolicy;
};

/** A conversation under the authority's account, which is made with a new key at the first one. @throws AcmeFailure, key-locked */
export async function openExternalSession(
  deps: ExternalDeps,
  authority: ExternalAuthorityRecord,
): Promise<{ readonly session: AcmeSession; readonly key: AcmeAccountKey }> {
  const { database, kek, clock, resolver, policy } = deps;
  const { id, name, environment, region, settings } = authority;
  const key = await ensureAccountKey(deps, authority);
  const { directoryUrl, anchorsPem } = settings;
  const session = new AcmeSession({ directoryUrl, anchorsPem, key, account: authority.accountUrl, resolver, policy, clock });
  if (authority.accountUrl !== null) return { session, key };
  const held = settings.bindingKeyId === null ? null : await findKey(database.queries, id, 'external-binding');
  const macKey = held === null ? null : openKey(kek, { ownerId: id, purpose: 'external-binding' }, held.envelope);
  const binding = macKey === null || settings.bindingKeyId === null ? null : { kid: settings.bindingKeyId, macKey };
  const accountUrl = await session.register({ contacts: settings.contacts, binding });
  const now = clock.now();
  await database.commit(async (unit) => {
    await setAccount(unit.queries, authority, accountUrl);
    const data = { id, name, accountUrl, thumbprint: key.thumbprint, bindingKeyId: settings.bindingKeyId };
    recordEntry(unit, { type: 'external-account.registered', at: now, environment, region, actor: SYSTEM, data });
  });
  return { session, key };
}

/** Durable before it is used: an account whose key is lost is lost. */
async function ensureAccountKey(
  { database, kek, clock }: ExternalDeps,
  { id, environment, region }: ExternalAuthorityRecord,
): Promise<AcmeAccountKey> {
  const use = { ownerId: id, purpose: 'external-account' } as const;
  const record = await database.commit(async (unit) => {
    const held = await findKey(unit.queries, id, use.purpose);
    if (held !== null) return held;
    const made = makeAcmeAccountKey();
    const envelope = sealKey(kek, use, new Secret<Uint8Array>(made.export({ type: 'pkcs8', format: 'der' })));
    const spki = createPublicKey(made).export({ type: 'spki', format: 'der' });
    const key = { id: newEntityId('key', clock.now()), ...use, environment, region, spki, envelope, createdAt: clock.now() };
    await insertKey(unit.queries, key);
    return key;
  });
  const der = Buffer.from(openKey(kek, use, record.envelope).reveal());
  return openAcmeAccountKey(createPrivateKey({ key: der, type: 'pkcs8', format: 'der' }));
}

export const SYSTEM = { kind: 'system', name: 'external' } as const;
