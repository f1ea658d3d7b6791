import { createHash, randomBytes } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { crlShardOf } from '../src/control/ca/crl-path.ts';
import { DAY_MS, HOUR_MS } from '../src/core/time/instant.ts';

/** What lies in the database after `seedCertificates`. */
export type Seeded = { readonly issuerId: string; readonly good: readonly Uint8Array[]; readonly name: (index: number) => string };

/**
 * Puts `issued` certificates into a SQLite database of a stopped control plane, `revoked` of them revoked: distinct serials, keys, names and shards, one
 * signed template. Indexes are made after the rows, as a restore would.
 */
export function seedCertificates(file: string, { issued, revoked }: { readonly issued: number; readonly revoked: number }): Seeded {
  using database = new DatabaseSync(file);
  database.exec('pragma synchronous = off; pragma cache_size = -200000; pragma temp_store = memory;');
  const issuer = database.prepare("select id, spki_sha256, crl_shards from authorities where kind = 'issuing'").get() as Issuer;
  const { der } = database.prepare("select der from certificates where profile = 'control-plane' limit 1").get() as { der: Uint8Array };
  const indexes = database
    .prepare("select name, sql from sqlite_master where type = 'index' and tbl_name = 'certificates' and sql is not null")
    .all() as { name: string; sql: string }[];
  database.exec('begin');
  for (const { name } of indexes) database.exec(`drop index ${name}`);
  const good = insertRows(database, issuer, der, { issued, revoked });
  for (const { sql } of indexes) database.exec(sql);
  database.prepare('update crls set revision = revision + 1 where authority_id = ?').run(issuer.id);
  database.exec(`update certificates set crl_revision = (
    select revision from crls where authority_id = issuer_id and shard = crl_shard
  ) where on_crl = 1`);
  database.exec("update ca_sequences set value = value + 1 where name = 'revoked-set'");
  database.exec(
    "update certificates set revoked_sequence = (select value from ca_sequences where name = 'revoked-set') where in_revoked_set = 1",
  );
  database.exec('commit');
  database.exec('pragma wal_checkpoint(truncate)');
  return { issuerId: issuer.id, good, name };
}

type Issuer = { readonly id: string; readonly spki_sha256: string; readonly crl_shards: number };

function insertRows(
  database: DatabaseSync,
  issuer: Issuer,
  der: Uint8Array,
  { issued, revoked }: { readonly issued: number; readonly revoked: number },
): Uint8Array[] {
  const columns =
    'issuer_id, issuer_key_sha256, serial, profile, door, spiffe_id, names, proxy_id, environment, region, spki_sha256, not_before, not_after, status, reserved_at, der, revoked_at, revocation_reason, in_revoked_set, on_crl, crl_shard, crl_revision, revoked_sequence';
  const places = columns
    .split(',')
    .map(() => '?')
    .join(',');
  const certificate = database.prepare(`insert into certificates (${columns}) values (${places})`);
  const byName = database.prepare('insert into certificate_names (name, reserved_at, serial, issuer_id) values (?, ?, ?, ?)');
  const now = Date.now();
  const good: Uint8Array[] = [];
  for (let index = 0; index < issued; index++) {
    const serial = Buffer.concat([Uint8Array.of(1), randomBytes(16)]);
    const reservedAt = now - issued + index - HOUR_MS;
    const key = createHash('sha256').update(serial).digest('hex');
    const isRevoked = index < revoked;
    const names = JSON.stringify({ dns: [name(index)], ip: [] });
    const whose = ['server', 'rest', null, names, null, 'production', 'local', key] as const;
    const fate = isRevoked ? ([reservedAt, 'superseded', 1, 1] as const) : ([null, null, 0, 0] as const);
    const life = [reservedAt, now + 30 * DAY_MS, 'issued', reservedAt, der] as const;
    const shard = crlShardOf(serial, issuer.crl_shards);
    certificate.run(issuer.id, issuer.spki_sha256, serial, ...whose, ...life, ...fate, shard, null, null);
    byName.run(name(index), reservedAt, serial, issuer.id);
    if (!isRevoked && good.length < MAXIMUM_KEPT) good.push(serial);
  }
  return good;
}

function name(index: number): string {
  return `host-${index}.bench.example`;
}

/** More than one run asks about. */
const MAXIMUM_KEPT = 100_000;
