import { existsSync } from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import { createPublicKey, type KeyObject } from 'node:crypto';
import type { AuditedDatabase, StagedEntry } from '../control/audit/entry.ts';
import { makeSeal } from '../control/audit/make-seal.ts';
import type { Authorities } from '../control/ca/authorities.ts';
import { ensureCheckpointKey } from '../control/ca/checkpoint-key.ts';
import { listAuthorities } from '../control/ca/authority-store.ts';
import type { AuthorityKeyType } from '../control/ca/create-authority-pair.ts';
import { initializeAuthorities } from '../control/ca/initialize-authorities.ts';
import { findKeyEncryptionKey } from '../control/ca/key-store.ts';
import { openAuthorities } from '../control/ca/open-authorities.ts';
import { type KeySource, unlockKeys } from '../control/ca/unlock-keys.ts';
import { type NoteVerifier, noteVerifier } from '../core/merkle/signed-note.ts';
import { Problem } from '../core/problems/problem.ts';
import type { NameConstraints } from '../core/x509/name-constraints.ts';
import type { Clock } from '../platform/clock/clock.ts';
import type { ServerConfig } from '../platform/config/server-config.ts';
import type { Seal } from '../platform/db/database.ts';
import { openDatabase } from '../platform/db/open-database.ts';
import { readBlockedKeys } from '../platform/config/blocked-keys.ts';
import { createKeyFile, type KeyEncryptionKey } from '../platform/signer/key-encryption-key.ts';
import { formatHostPort } from '../platform/network/host-port.ts';

/** What everything else stands on: the database with its log, and the keys. */
export type State = {
  readonly database: AuditedDatabase;
  readonly kek: KeyEncryptionKey;
  readonly verifier: NoteVerifier;
  [Symbol.asyncDispose](): Promise<void>;
};

export type StateOptions = {
  readonly config: ServerConfig;
  readonly clock: Clock;
  /** Told of the entries of each seal, in order; their commit follows at once. */
  readonly sealed?: (staged: readonly StagedEntry[]) => void;
};

/**
 * Opens data directory, database, keys and log; what a first start needs is made.
 * @throws database-unsafe, key-file-unsafe, key-locked
 */
export async function openState({ config, clock, sealed = ignoreSealed }: StateOptions): Promise<State> {
  await mkdir(config.dataDirectory, { recursive: true, mode: 0o700 });
  await chmod(config.dataDirectory, 0o700);
  // The key that seals lies in the database that it seals: until it is there, nothing can be recorded.
  let seal: Seal<StagedEntry> = refuseEntries;
  const database = await openDatabase<StagedEntry>({ url: config.database, seal: (queries, staged) => seal(queries, staged) });
  try {
    const kek = await unlockKeys({ database }, await findKeySource(database, config), clock.now());
    const { environment, region } = config;
    const checkpointKey: KeyObject = await ensureCheckpointKey({ database, kek }, { environment, region }, clock.now());
    const origin = logOrigin(config);
    const append = makeSeal({ checkpointKey, origin, kind: database.kind, clock });
    seal = async (queries, staged) => {
      await append(queries, staged);
      sealed(staged);
    };
    return {
      database,
      kek,
      verifier: noteVerifier(origin, createPublicKey(checkpointKey)),
      [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
    };
  } catch (error) {
    await database[Symbol.asyncDispose]();
    throw error;
  }
}

function ignoreSealed(): void {}

async function refuseEntries(): Promise<never> {
  throw new Problem('internal', 'Cannot record entry: the log has no key yet');
}

/** The authorities, made at the first start if nobody ran `ca init`. */
export async function openOrMakeAuthorities(
  state: State,
  config: ServerConfig,
  clock: Clock,
  {
    keyType = 'P-256',
    nameConstraints = null,
  }: { readonly keyType?: AuthorityKeyType; readonly nameConstraints?: NameConstraints | null } = {},
): Promise<Authorities> {
  const { database, kek } = state;
  if ((await listAuthorities(database.queries)).length === 0) {
    const { trustDomain, region } = config;
    const crlBaseUrl = publicUrlOf(config);
    const actor = { kind: 'system', name: 'first-start' } as const;
    await initializeAuthorities(
      { database, kek },
      {
        trustDomain,
        environment: '*',
        region,
        keyType,
        crlBaseUrl,
        crlShards: CRL_SHARDS,
        ...(nameConstraints === null ? {} : { nameConstraints }),
      },
      actor,
      clock.now(),
    );
  }
  const { blockedKeysFile } = config;
  const blocked = blockedKeysFile === null ? {} : { blockedKeys: await readBlockedKeys(blockedKeysFile) };
  return { ...(await openAuthorities({ database, kek, now: clock.now() })), ...blocked, reservedNames: ownHosts(config) };
}

/** Where the control plane is reached, but for loopback: that is every machine's own, and who listens there the machine says, not a name. */
function ownHosts({ listen, publicUrl, acme, est, scep }: ServerConfig): readonly string[] {
  const urls = [publicUrl, acme?.externalUrl ?? null].flatMap((url) => (url === null ? [] : [new URL(url).hostname]));
  const estHosts = [...(est === null ? [] : [est.listen.host, ...est.serverNames]), ...(scep === null ? [] : [scep.listen.host])];
  const hosts = [listen.admin.host, listen.dataPlane.host, ...(acme === null ? [] : [acme.listen.host]), ...estHosts, ...urls];
  return [...new Set(hosts.map((host) => host.replace(/^\[(.*)\]$/, '$1')))].filter((host) => !LOCAL.test(host));
}

/**
 * Where the world reaches the public listener; it is written into every certificate, for the authority's whole life. With a port that the
 * system chooses there is no such place, and no list is published. @throws input-invalid if it listens everywhere and nobody said where that is
 */
function publicUrlOf({ publicUrl, listen }: ServerConfig): string | null {
  if (publicUrl !== null) return publicUrl;
  if (listen.public.port === 0) return null;
  if (/^(0\.0\.0\.0|::)$/.test(listen.public.host)) {
    throw new Problem(
      'input-invalid',
      'Cannot make authorities: listen.public is every address, expected publicUrl to say which one clients reach',
    );
  }
  return `http://${formatHostPort(listen.public)}`;
}

/** The name of the log, first line of its checkpoints: one log for each trust domain and environment. */
function logOrigin({ trustDomain, environment }: ServerConfig): string {
  return `${trustDomain}/${environment}/countersign`;
}

/** A key file is made for a new database only: one that is locked needs the file that locked it, and a new one would hide that it is lost. */
async function findKeySource({ queries }: AuditedDatabase, { key, dataDirectory }: ServerConfig): Promise<KeySource> {
  const isNew = key.kind === 'file' && !existsSync(key.path) && (await findKeyEncryptionKey(queries)) === null;
  if (isNew) await createKeyFile(key.path, { dataDirectory });
  return { ...key, dataDirectory };
}

/** At a hundred thousand revocations some three thousand entries a list, which is signed again in milliseconds. */
const CRL_SHARDS = 32;
const LOCAL = /^(127\.[0-9.]+|::1|0\.0\.0\.0|::|(.+\.)?localhost)$/;
