import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { Secret } from '../../core/secrets/secret.ts';
import { openDatabase } from '../../platform/db/open-database.ts';
import { createKeyFile } from '../../platform/signer/key-encryption-key.ts';
import type { AuditedDatabase, StagedEntry } from '../audit/entry.ts';
import { ensureCheckpointKey } from './checkpoint-key.ts';
import { findKey, listKeys } from './key-store.ts';
import { rewrapKeys } from './rewrap-keys.ts';
import { type KeySource, unlockKeys } from './unlock-keys.ts';

const now = 1_800_000_000_000;
const place = { environment: 'production', region: 'local' };
const ada = { kind: 'person', name: 'ada' } as const;
const directory = await mkdtemp(join(tmpdir(), 'keys-'));
after(() => rm(directory, { recursive: true }));
const dataDirectory = join(directory, 'data');
await mkdir(dataDirectory);

const fileA: KeySource = { kind: 'file', path: join(directory, 'a'), dataDirectory };
const fileB: KeySource = { kind: 'file', path: join(directory, 'b'), dataDirectory };
for (const { path } of [fileA, fileB] as const) await createKeyFile(path, { dataDirectory });
const words = (text: string): KeySource => ({ kind: 'passphrase', passphrase: new Secret(text) });

const open = (url: string): Promise<AuditedDatabase> => openDatabase<StagedEntry>({ url, seal: async () => undefined });

forEachDatabase('keys at rest', (newUrl) => {
  test('unlockKeys() keeps the first source and refuses every other', async () => {
    await using database = await open(await newUrl());
    const kek = await unlockKeys({ database }, fileA, now);
    assert.equal((await unlockKeys({ database }, fileA, now)).id, kek.id);
    await assert.rejects(unlockKeys({ database }, fileB, now), { code: 'key-locked' });
    await assert.rejects(unlockKeys({ database }, words('correct horse battery'), now), { code: 'key-locked' });
    await assert.rejects(unlockKeys({ database }, { ...fileA, path: join(directory, 'none') } as KeySource, now), {
      code: 'key-file-unsafe',
    });
  });

  test('unlockKeys() by passphrase refuses another passphrase and a key file', async () => {
    await using database = await open(await newUrl());
    const kek = await unlockKeys({ database }, words('correct horse battery'), now);
    assert.equal((await unlockKeys({ database }, words('correct horse battery'), now)).id, kek.id);
    await assert.rejects(unlockKeys({ database }, words('correct horse batterz'), now), { code: 'key-locked' });
    await assert.rejects(unlockKeys({ database }, fileA, now), { code: 'key-locked' });
    await assert.rejects(unlockKeys({ database }, words('short'), now), { code: 'key-file-unsafe' });
  });

  test('ensureCheckpointKey() makes one key and gives it back, also when two start at once', async () => {
    await using database = await open(await newUrl());
    const kek = await unlockKeys({ database }, fileA, now);
    const both = await Promise.all([1, 2].map(() => ensureCheckpointKey({ database, kek }, place, now)));
    const [first, second] = both;
    assert.equal(first!.asymmetricKeyType, 'ed25519');
    assert.equal(first!.equals(second!), true);
    assert.equal(first!.equals(await ensureCheckpointKey({ database, kek }, place, now)), true);
    assert.equal((await listKeys(database.queries)).length, 1);
  });

  test('rewrapKeys() moves every key to a new source without changing it, and the old source opens nothing', async () => {
    await using database = await open(await newUrl());
    const kek = await unlockKeys({ database }, fileA, now);
    const checkpointKey = await ensureCheckpointKey({ database, kek }, place, now);
    const before = await findKey(database.queries, 'log', 'checkpoint');
    const next = await rewrapKeys({ database, kek }, { source: words('correct horse battery'), ...place }, ada, now);
    const moved = await findKey(database.queries, 'log', 'checkpoint');
    assert.deepEqual(moved!.envelope.key, before!.envelope.key, 'the encrypted key is untouched');
    assert.equal(moved!.envelope.kekId, next.id);
    assert.equal(checkpointKey.equals(await ensureCheckpointKey({ database, kek: next }, place, now)), true);
    await assert.rejects(ensureCheckpointKey({ database, kek }, place, now), { code: 'key-locked' });
    await assert.rejects(unlockKeys({ database }, fileA, now), { code: 'key-locked' });
    assert.equal((await unlockKeys({ database }, words('correct horse battery'), now)).id, next.id);
    await assert.rejects(
      rewrapKeys({ database, kek }, { source: fileB, ...place }, ada, now),
      { code: 'key-locked' },
      'the old key rewraps nothing',
    );
    assert.equal((await unlockKeys({ database }, words('correct horse battery'), now)).id, next.id, 'and a failed rewrap changes nothing');
  });
});
