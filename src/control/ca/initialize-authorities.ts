import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { KeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';
import type { Actor, AuditedDatabase, AuditedUnit } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { advanceSequence, insertAuthority, listAuthorities } from './authority-store.ts';
import { type AuthorityPairRequest, createAuthorityPair, type NewAuthority } from './create-authority-pair.ts';
import { insertKey } from './key-store.ts';
import { insertCrls } from './crl-store.ts';

type Deps = { readonly database: AuditedDatabase; readonly kek: KeyEncryptionKey };

/** The first root and issuing authority of this database. @throws state-conflict if there are authorities already */
export async function initializeAuthorities(deps: Deps, request: AuthorityPairRequest, actor: Actor, now: Instant): Promise<void> {
  await storePair(deps, request, actor, now, async (unit) => {
    if ((await listAuthorities(unit.queries)).length > 0) {
      throw new Problem('state-conflict', 'Cannot initialize authorities: there are some already, expected an empty database');
    }
  });
}

/** A further root and issuing authority beside those that there are; all are trusted, the newest signs. */
export async function addAuthorityPair(deps: Deps, request: AuthorityPairRequest, actor: Actor, now: Instant): Promise<void> {
  await storePair(deps, request, actor, now, async () => undefined);
}

async function storePair(
  { database, kek }: Deps,
  request: AuthorityPairRequest,
  actor: Actor,
  now: Instant,
  check: (unit: AuditedUnit) => Promise<void>,
): Promise<void> {
  const { crlShards = 1 } = request;
  if (!Number.isInteger(crlShards) || crlShards < 1 || crlShards > MAXIMUM_SHARDS) {
    throw new Problem('input-invalid', `Cannot make authorities: ${crlShards} shards, expected 1 to ${MAXIMUM_SHARDS}`);
  }
  const { root, issuing } = await createAuthorityPair(kek, request, now);
  await database.commit(async (unit) => {
    await check(unit);
    for (const made of [root, issuing]) await storeAuthority(unit, made, actor, now);
    await insertCrls(unit.queries, issuing.authority.id, issuing.authority.crlShards);
    await advanceSequence(unit.queries, 'trust-bundle');
  });
}

async function storeAuthority(unit: AuditedUnit, { authority, key, certificate }: NewAuthority, actor: Actor, now: Instant): Promise<void> {
  await insertKey(unit.queries, key);
  await insertAuthority(unit.queries, authority);
  const { id, kind, parentId, environment, region, trustDomain, crlUrl, crlShards, ocspUrl } = authority;
  const { serialHex, spkiSha256, subject, notBefore, notAfter, der } = certificate;
  recordEntry(unit, {
    type: 'authority.created',
    at: now,
    environment,
    region,
    actor,
    data: {
      authorityId: id,
      kind,
      parentId,
      trustDomain,
      subject: subject.text,
      serial: serialHex,
      spkiSha256,
      notBefore,
      notAfter,
      crlUrl,
      crlShards,
      ocspUrl,
      certificate: Buffer.from(der).toString('base64'),
    },
  });
}

/** Each is a row, and is signed twice a day. */
const MAXIMUM_SHARDS = 1_024;
