import type { EntityId } from '../../core/ids/entity-id.ts';
import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Certificate } from '../../core/x509/certificate.ts';
import type { AskerRole, ProfileName } from '../../core/issuance/profile.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { Queries } from '../../platform/db/database.ts';
import { insertAuthority } from '../ca/authority-store.ts';
import { insertReservation, settleReservation } from '../ca/certificate-store.ts';
import type { AcceptedChain } from './accept-chain.ts';
import { type ForeignCertificate, usualRenewal } from './foreign-certificate.ts';
import { insertForeignCertificate } from './foreign-certificate-store.ts';

export type FoundCertificate = AcceptedChain & {
  readonly door: 'external' | 'import';
  /** Who asked for it, or brought it. */
  readonly asker: string;
  /** What the door proved them to be; null: it is not known, or was imported. */
  readonly askerRole: AskerRole | null;
  readonly profile: ProfileName;
} & Pick<ForeignCertificate, 'environment' | 'region' | 'authorityId' | 'endpointId'>;

/** Puts a certificate of another CA into the one inventory, and into what is watched. Returns its issuer's id here. */
export async function recordForeignCertificate(queries: Queries, found: FoundCertificate, now: Instant): Promise<EntityId<'authority'>> {
  const { leaf, issuer, chain, door, asker, askerRole, profile, environment, region, authorityId, endpointId } = found;
  const issuerId = await ensureIssuer(queries, issuer, region, now);
  const { serial, spkiSha256, notBefore, notAfter, subjectAltNames } = leaf;
  const reservation = {
    issuerId,
    issuerKeySha256: issuer.spkiSha256,
    serial,
    profile,
    door,
    asker,
    askerRole,
    spiffeId: null,
    proxyId: null,
    environment,
    region,
    spkiSha256,
    notBefore,
    notAfter,
    names: { dns: subjectAltNames.dns.map((name) => name.toLowerCase()), ip: subjectAltNames.ip },
    reservedAt: now,
    crlShard: 0,
  } as const;
  await insertReservation(queries, reservation);
  await settleReservation(queries, reservation, { status: 'issued', der: leaf.der });
  await insertForeignCertificate(queries, {
    issuerId,
    serial,
    environment,
    region,
    authorityId,
    notAfter,
    chain: chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
    renewAt: usualRenewal(leaf),
    checkAt: now,
    renewalInfoAt: now,
    endpointId,
    renewal: null,
    finding: 'none',
    findingDetail: null,
    findingAt: now,
  });
  return issuerId;
}

/** Whether this key is that of an authority of ours, retired ones included: what it signed is in the inventory already, or should not be. */
export async function isOurAuthority(queries: Queries, spkiSha256: string): Promise<boolean> {
  const row = await tables(queries)
    .selectFrom('authorities')
    .select('id')
    .where('spki_sha256', '=', spkiSha256)
    .where('status', '!=', 'external')
    .executeTakeFirst();
  return row !== undefined;
}

/** One row an issuer key. It signs nothing here, and no bundle holds it. */
async function ensureIssuer(queries: Queries, issuer: Certificate, region: string, now: Instant): Promise<EntityId<'authority'>> {
  const held = await tables(queries)
    .selectFrom('authorities')
    .select('id')
    .where('spki_sha256', '=', issuer.spkiSha256)
    .where('status', '=', 'external')
    .executeTakeFirst();
  if (held !== undefined) return held.id as EntityId<'authority'>;
  const id = newEntityId('authority', now);
  await insertAuthority(queries, {
    id,
    kind: 'issuing',
    parentId: null,
    trustDomain: '' as TrustDomain,
    environment: '*',
    region,
    keyId: 'key_',
    spkiSha256: issuer.spkiSha256,
    certificate: issuer.der,
    crlUrl: null,
    crlShards: 1,
    ocspUrl: null,
    status: 'external',
    createdAt: now,
    notAfter: issuer.notAfter,
  });
  return id;
}

const tables = (queries: Queries) => queries.withTables<{ authorities: { id: string; spki_sha256: string; status: string } }>();
