import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Secret } from '../../core/secrets/secret.ts';
import { createKeyFile, derivePassphraseKey, readKeyFile, readPassphraseFile } from './key-encryption-key.ts';

const directory = await mkdtemp(join(tmpdir(), 'kek-'));
const dataDirectory = join(directory, 'data');
await mkdir(dataDirectory);
const options = { dataDirectory };
after(() => rm(directory, { recursive: true }));

async function fileOf(name: string, octets: Uint8Array | string, mode: number): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, octets);
  await chmod(path, mode);
  return path;
}

test('createKeyFile() makes a 0600 file that readKeyFile() takes', async () => {
  const path = join(directory, 'kek');
  const made = await createKeyFile(path, options);
  const facts = await stat(path);
  assert.equal(facts.mode & 0o777, 0o600);
  assert.equal(facts.size, 32);
  assert.equal((await readKeyFile(path, options)).id, made.id);
  assert.match(made.id, /^kek-[0-9a-f]{32}$/);
});

test('a key file is refused when others may read it, it has another size, or lies beside the data', async () => {
  const inside = join(dataDirectory, 'kek');
  await writeFile(inside, new Uint8Array(32), { mode: 0o600 });
  const link = join(directory, 'link');
  await symlink(inside, link);
  const linkedDirectory = join(directory, 'linked');
  await symlink(dataDirectory, linkedDirectory);
  const refused: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['group can read', async () => readKeyFile(await fileOf('a', new Uint8Array(32), 0o640), options)],
    ['world can read', async () => readKeyFile(await fileOf('b', new Uint8Array(32), 0o604), options)],
    ['31 octets', async () => readKeyFile(await fileOf('c', new Uint8Array(31), 0o600), options)],
    ['33 octets', async () => readKeyFile(await fileOf('d', new Uint8Array(33), 0o600), options)],
    ['empty', async () => readKeyFile(await fileOf('e', '', 0o600), options)],
    ['missing', () => readKeyFile(join(directory, 'none'), options)],
    ['a directory', () => readKeyFile(directory, { dataDirectory })],
    ['inside', () => readKeyFile(inside, options)],
    ['inside, by a link', () => readKeyFile(link, options)],
    ['inside, by a linked directory', () => readKeyFile(join(linkedDirectory, 'kek'), options)],
    ['inside, by dots', () => readKeyFile(`${directory}/data/../data/kek`, options)],
    ['made inside', () => createKeyFile(join(dataDirectory, 'new'), options)],
    ['made twice', () => createKeyFile(join(directory, 'kek'), options)],
    ['no such directory', () => createKeyFile(join(directory, 'none', 'kek'), options)],
    ['data directory missing', () => readKeyFile(join(directory, 'kek'), { dataDirectory: join(directory, 'none') })],
    ['passphrase readable', async () => readPassphraseFile(await fileOf('f', 'correct horse battery\n', 0o644), options)],
    ['passphrase of a wrong path', async () => readPassphraseFile(await fileOf('g', 'x'.repeat(2000), 0o600), options)],
  ];
  for (const [name, attempt] of refused) await assert.rejects(attempt, { code: 'key-file-unsafe' }, name);
});

test('derivePassphraseKey() is fixed by passphrase and parameters, and refuses a short passphrase', async () => {
  const parameters = { salt: new Uint8Array(16), cost: 1024, blockSize: 8, parallelization: 1 };
  const passphrase = await readPassphraseFile(await fileOf('h', 'correct horse battery\nsecond line', 0o600), options);
  const key = await derivePassphraseKey(passphrase, parameters);
  assert.equal((await derivePassphraseKey(new Secret('correct horse battery'), parameters)).id, key.id);
  assert.notEqual((await derivePassphraseKey(new Secret('correct horse batterz'), parameters)).id, key.id);
  assert.notEqual((await derivePassphraseKey(passphrase, { ...parameters, salt: new Uint8Array(16).fill(1) })).id, key.id);
  await assert.rejects(derivePassphraseKey(new Secret('short'), parameters), (error: Error) => {
    assert.equal(error.message.includes('short'), false, 'the passphrase is not repeated');
    return true;
  });
});
