import { lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import {
  type OcspStaple,
  OcspStapleSchema,
  type ProxySettings,
  ProxySettingsSchema,
  type RevokedSet,
  RevokedSetSchema,
  type TrustBundle,
  TrustBundleSchema,
  TrustBundlesSchema,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import { decodeSeenKeys, encodeSeenKeys } from './seen-keys-file.ts';
import { decodeIdentity, decodePrivateKey, encodeIdentity, encodePrivateKey, type StoredIdentity } from './stored-identity.ts';
import { corrupt, readStateFile, writeStateFile } from './state-file.ts';
import type { KeyObject } from 'node:crypto';

/**
 * What a data plane needs to serve on without its control plane, in a folder of mode 0700. Each file is replaced as a whole;
 * a read gives what was last written, or null. What is corrupt or open to others is refused, never repaired silently.
 */
export type StateDirectory = {
  readonly path: string;
  readIdentity(): Promise<StoredIdentity | null>;
  writeIdentity(identity: StoredIdentity): Promise<void>;
  readTrustBundle(): Promise<TrustBundle | null>;
  writeTrustBundle(bundle: TrustBundle): Promise<void>;
  /** Of other trust domains, all that there are. */
  readFederatedBundles(): Promise<readonly TrustBundle[] | null>;
  writeFederatedBundles(bundles: readonly TrustBundle[]): Promise<void>;
  readSettings(): Promise<ProxySettings | null>;
  writeSettings(settings: ProxySettings): Promise<void>;
  readRevokedSet(): Promise<RevokedSet | null>;
  writeRevokedSet(set: RevokedSet): Promise<void>;
  readStaple(): Promise<OcspStaple | null>;
  writeStaple(staple: OcspStaple): Promise<void>;
  /** SHA-256 of keys, lower case hex, by endpoint: what third parties were last seen to have. */
  readSeenKeys(): Promise<ReadonlyMap<string, ReadonlySet<string>> | null>;
  writeSeenKeys(seen: ReadonlyMap<string, ReadonlySet<string>>): Promise<void>;
  /** The key of a join that was begun: the same key is offered again after a crash, so that the token is not lost. */
  readJoiningKey(): Promise<KeyObject | null>;
  writeJoiningKey(key: KeyObject): Promise<void>;
  dropJoiningKey(): Promise<void>;
};

/**
 * Opens the folder and makes it if it is not there.
 * @throws state-permissions if it is a link or no folder, belongs to someone else, or others may enter it
 */
export async function openStateDirectory(directory: string): Promise<StateDirectory> {
  const path = resolve(directory);
  await mkdir(path, { recursive: true, mode: 0o700 });
  const facts = await lstat(path);
  if (!facts.isDirectory() || (facts.mode & 0o077) !== 0 || facts.uid !== process.getuid?.()) {
    throw new Problem(
      'state-permissions',
      `Cannot use ${path}: mode ${(facts.mode & 0o777).toString(8)}, expected a folder of our own with mode 700`,
    );
  }
  await dropLeftovers(path);
  const read = <D extends DescMessage>(name: string, schema: D) => readMessage(path, name, schema);
  const write = <D extends DescMessage>(name: string, schema: D, message: MessageShape<D>) =>
    writeStateFile(path, name, toBinary(schema, message));
  return {
    path,
    readIdentity: () => decodeFile(path, 'identity', decodeIdentity),
    writeIdentity: (identity) => writeStateFile(path, 'identity', encodeIdentity(identity)),
    readTrustBundle: () => read('trust-bundle', TrustBundleSchema),
    writeTrustBundle: (bundle) => write('trust-bundle', TrustBundleSchema, bundle),
    readFederatedBundles: async () => (await read('federated-bundles', TrustBundlesSchema))?.bundles ?? null,
    writeFederatedBundles: (bundles) =>
      write('federated-bundles', TrustBundlesSchema, create(TrustBundlesSchema, { bundles: [...bundles] })),
    readSettings: () => read('settings', ProxySettingsSchema),
    writeSettings: (settings) => write('settings', ProxySettingsSchema, settings),
    readRevokedSet: () => read('revoked-set', RevokedSetSchema),
    writeRevokedSet: (set) => write('revoked-set', RevokedSetSchema, set),
    readStaple: () => read('ocsp-staple', OcspStapleSchema),
    writeStaple: (staple) => write('ocsp-staple', OcspStapleSchema, staple),
    readSeenKeys: () => decodeFile(path, 'seen-keys', decodeSeenKeys),
    writeSeenKeys: (seen) => writeStateFile(path, 'seen-keys', encodeSeenKeys(seen)),
    readJoiningKey: () => decodeFile(path, 'joining-key', decodePrivateKey),
    writeJoiningKey: (key) => writeStateFile(path, 'joining-key', encodePrivateKey(key)),
    dropJoiningKey: () => rm(join(path, 'joining-key'), { force: true }),
  };
}

function readMessage<D extends DescMessage>(path: string, name: string, schema: D): Promise<MessageShape<D> | null> {
  return decodeFile(path, name, (content) => fromBinary(schema, content));
}

async function decodeFile<T>(path: string, name: string, decode: (content: Uint8Array) => T): Promise<T | null> {
  const content = await readStateFile(path, name);
  if (content === null) return null;
  try {
    return decode(content);
  } catch (error) {
    throw corrupt(join(path, name), 'the content has another form, expected what this program writes', error);
  }
}

/** A crash between write and rename leaves a file that nobody will ever read. */
async function dropLeftovers(path: string): Promise<void> {
  for (const name of await readdir(path)) {
    if (name.startsWith('.') && name.endsWith('.tmp')) await rm(join(path, name), { force: true });
  }
}
