import { canonicalJson, type JsonValue } from '../../core/merkle/canonical-json.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import { Secret } from '../../core/secrets/secret.ts';
import type { Instant } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { KeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';
import { sealKey } from '../../platform/signer/key-envelope.ts';
import type { Actor, AuditedDatabase, AuditedUnit } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { findKey, insertKey, updateEnvelope } from '../ca/key-store.ts';
import {
  dnsUpdateOf,
  type ExternalAuthorityRecord,
  type ExternalAuthoritySettings,
  parseExternalSettings,
  webhookOf,
} from './external-authority.ts';
import { findExternalAuthority, upsertExternalAuthority } from './store.ts';

export type AuthorityDeclaration = {
  readonly environment: string;
  readonly region: string;
  readonly name: string;
  readonly settings: ExternalAuthoritySettings;
  /** MAC key of the external account binding, base64url as CAs hand it out; null: the one that is stored stays. */
  readonly bindingKey: Secret | null;
  /** Bearer token for the webhook; null: the one that is stored stays. */
  readonly webhookToken: Secret | null;
  /** TSIG key, base64 as BIND and others hand it out; null: the one that is stored stays. */
  readonly dnsKey: Secret | null;
};

type DeclareDeps = { readonly database: AuditedDatabase; readonly kek: KeyEncryptionKey };

/**
 * Declares somebody else's CA, or changes it; a second time nothing changes and nothing is logged. Another directory or binding is another account.
 * @throws input-invalid, identity-malformed, der-malformed
 */
export async function declareExternalAuthority(
  deps: DeclareDeps,
  declaration: AuthorityDeclaration,
  actor: Actor,
  now: Instant,
): Promise<ExternalAuthorityRecord> {
  const { environment, region, name, bindingKey, webhookToken, dnsKey } = declaration;
  const settings = parseExternalSettings(declaration.settings);
  if (bindingKey !== null && settings.bindingKeyId === null) throw invalid('a MAC key without bindingKeyId, which says whose it is');
  if (webhookToken !== null && webhookOf(settings) === null) throw invalid('a webhook token without a webhook for dns-01');
  if (dnsKey !== null && dnsUpdateOf(settings) === null) throw invalid('a DNS key without updates for dns-01');
  // It may allow less than before: what is being ordered elsewhere does not overlook it.
  return deps.database.commitFenced(async (unit) => {
    const held = await findExternalAuthority(unit.queries, environment, name);
    const id = held?.id ?? newEntityId('authority', now);
    const owner = { id, environment, region };
    const hasKey = bindingKey !== null || (await findKey(unit.queries, id, 'external-binding')) !== null;
    if (settings.bindingKeyId !== null && !hasKey) throw invalid('bindingKeyId without a MAC key');
    const hasDnsKey = dnsKey !== null || (await findKey(unit.queries, id, 'external-dns-key')) !== null;
    if (dnsUpdateOf(settings) !== null && !hasDnsKey) throw invalid('updates for dns-01 without a DNS key');
    if (webhookToken === null) await checkTokenStays(unit, { held, settings });
    const same = held !== null && canonical(held.settings) === canonical(settings);
    if (same && bindingKey === null && webhookToken === null && dnsKey === null) return held;
    if (bindingKey !== null) await keepSecret(unit, deps, { owner, purpose: 'external-binding', secret: readMacKey(bindingKey) }, now);
    if (webhookToken !== null) await keepSecret(unit, deps, { owner, purpose: 'external-webhook', secret: readToken(webhookToken) }, now);
    if (dnsKey !== null) await keepSecret(unit, deps, { owner, purpose: 'external-dns-key', secret: readDnsKey(dnsKey) }, now);
    const sameAccount = held?.settings.directoryUrl === settings.directoryUrl && held.settings.bindingKeyId === settings.bindingKeyId;
    const accountUrl = sameAccount && bindingKey === null ? held.accountUrl : null;
    const record = { id, environment, region, name, settings, accountUrl, updatedAt: now };
    await upsertExternalAuthority(unit.queries, record);
    const type = held === null ? 'external-authority.declared' : 'external-authority.changed';
    recordEntry(unit, { type, at: now, environment, region, actor, data: { id, name, ...describe(settings) } });
    return record;
  });
}

/** A stored token goes to whom it was stored for: another address, or another anchor to know it by, has to come with a token. */
async function checkTokenStays(
  { queries }: AuditedUnit,
  { held, settings }: { readonly held: ExternalAuthorityRecord | null; readonly settings: ExternalAuthoritySettings },
): Promise<void> {
  const [before, after] = [held === null ? null : webhookOf(held.settings), webhookOf(settings)];
  if (held === null || after === null) return;
  if (before !== null && before.url === after.url && before.anchorsPem === after.anchorsPem) return;
  if ((await findKey(queries, held.id, 'external-webhook')) !== null)
    throw invalid('another webhook, and a stored token that is not meant for it; expected the token too');
}

/** What the log holds of a declaration: whom, how and for which names. Contacts are persons', and what the log has it keeps. */
function describe(settings: ExternalAuthoritySettings): { readonly [name: string]: JsonValue } {
  const { directoryUrl, bindingKeyId, allowedNames, judgedBy, profile, preferredChain, challenge } = settings;
  const [webhook, update] = [webhookOf(settings), dnsUpdateOf(settings)];
  return {
    directoryUrl,
    bindingKeyId,
    allowedNames,
    judgedBy,
    profile,
    preferredChain,
    challenge: challenge.kind,
    webhook: webhook === null ? null : new URL(webhook.url).origin,
    dnsUpdate: update === null ? null : { server: `${update.host} ${update.port}`, zones: update.zones, keyName: update.keyName },
  };
}

async function keepSecret(
  { queries }: AuditedUnit,
  { kek }: DeclareDeps,
  {
    owner,
    purpose,
    secret,
  }: {
    readonly owner: { readonly id: EntityId<'authority'>; readonly environment: string; readonly region: string };
    readonly purpose: 'external-binding' | 'external-webhook' | 'external-dns-key';
    readonly secret: Secret<Uint8Array>;
  },
  now: Instant,
): Promise<void> {
  const use = { ownerId: owner.id, purpose };
  const envelope = sealKey(kek, use, secret);
  const held = await findKey(queries, owner.id, purpose);
  if (held !== null) return updateEnvelope(queries, held.id, envelope);
  const { environment, region } = owner;
  await insertKey(queries, { id: newEntityId('key', now), ...use, environment, region, spki: Buffer.alloc(0), envelope, createdAt: now });
}

function readMacKey(key: Secret): Secret<Uint8Array> {
  const text = key.reveal().trim();
  const octets = /^[A-Za-z0-9_+/-]+={0,2}$/.test(text) ? Buffer.from(text, 'base64url') : Buffer.alloc(0);
  if (octets.length < MINIMUM_MAC_OCTETS || octets.length > MAXIMUM_MAC_OCTETS)
    throw invalid(`a MAC key of ${octets.length} octets, expected base64url of ${MINIMUM_MAC_OCTETS} to ${MAXIMUM_MAC_OCTETS}`);
  return new Secret<Uint8Array>(octets);
}

function readDnsKey(key: Secret): Secret<Uint8Array> {
  const text = key.reveal().trim();
  const octets = /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? Buffer.from(text, 'base64') : Buffer.alloc(0);
  if (octets.length < MINIMUM_MAC_OCTETS || octets.length > MAXIMUM_MAC_OCTETS)
    throw invalid(`a DNS key of ${octets.length} octets, expected base64 of ${MINIMUM_MAC_OCTETS} to ${MAXIMUM_MAC_OCTETS}`);
  return new Secret<Uint8Array>(octets);
}

/** What can stand in a header (RFC 6750 section 2.1). */
function readToken(token: Secret): Secret<Uint8Array> {
  const text = token.reveal().trim();
  if (!/^[A-Za-z0-9._~+/-]{16,2000}=*$/.test(text))
    throw invalid('a webhook token that is none, expected 16 to 2000 characters of RFC 6750');
  return new Secret<Uint8Array>(Buffer.from(text, 'latin1'));
}

function canonical(settings: ExternalAuthoritySettings): string {
  return canonicalJson(settings as unknown as JsonValue);
}

function invalid(what: string): Problem {
  return new Problem('input-invalid', `Cannot declare authority: ${what}`);
}

/** Below it a MAC key can be guessed (RFC 8555 section 11.1 asks for entropy); above it nobody hands one out. */
const MINIMUM_MAC_OCTETS = 16;
const MAXIMUM_MAC_OCTETS = 512;
