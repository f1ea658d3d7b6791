import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { chainPemOf, keyPemOf } from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { readClientCertificates } from './client-certificates.ts';

const root = await mkdtemp(join(tmpdir(), 'countersign-client-certificates-'));
after(() => rm(root, { recursive: true }));
const bank = makeTestAuthority(Date.now(), 'Bank');
const [credential, other] = [
  bank.issue({ dnsNames: ['acme.example'], usages: ['client'] }),
  bank.issue({ dnsNames: ['acme.example'], usages: ['client'] }),
];
const good = `${keyPemOf(credential)}${chainPemOf(credential)}`;
let folders = 0;

async function folderWith(files: { readonly [name: string]: string }, mode = 0o600): Promise<string> {
  const folder = join(root, String(folders++));
  await mkdir(folder, { mode: 0o700 });
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content, { mode });
  return folder;
}

test('a key and a chain are read in either order and every usual form, for the server of the file’s name', async () => {
  const sec1 = credential.key.export({ type: 'sec1', format: 'pem' }) as string;
  const folder = await folderWith({
    'api.bank.example.pem': good,
    'b.bank.example.pem': `${chainPemOf(credential)}${sec1}`,
    'notes.txt': 'not for us',
  });
  const { held, faults } = await readClientCertificates(folder);
  assert.deepEqual(faults, []);
  assert.deepEqual(
    held.map(({ serverName, chainPem, notAfter }) => [serverName, chainPem, notAfter]),
    ['api.bank.example', 'b.bank.example'].map((name) => [name, chainPemOf(credential), credential.certificate.notAfter]),
  );
});

test('what cannot be used is told by file and reason, without a word of what it holds, and the others are held', async () => {
  const encrypted = credential.key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }) as string;
  const bad = {
    'no-key.example.pem': chainPemOf(credential),
    'no-certificate.example.pem': keyPemOf(credential),
    'other-key.example.pem': `${keyPemOf(other)}${chainPemOf(credential)}`,
    'locked.example.pem': `${encrypted}${chainPemOf(credential)}`,
    'garbage.example.pem': 'secret words',
    'empty.example.pem': '',
    'no name.pem': good,
    '*.example.pem': good,
    'large.example.pem': `${good}${'#'.repeat(70_000)}`,
  };
  const { held, faults } = await readClientCertificates(await folderWith({ ...bad, 'good.example.pem': good }));
  assert.deepEqual(
    held.map(({ serverName }) => serverName),
    ['good.example'],
  );
  const told = faults.map(({ message }) => message);
  for (const name of Object.keys(bad))
    assert.ok(
      told.some((message) => message.includes(`/${name}: `)),
      name,
    );
  assert.equal(told.length, Object.keys(bad).length);
  assert.ok(!told.some((message) => /BEGIN|secret words/.test(message)), told.join('\n'));
});

test('files and folders that others may read, and links, are refused', async () => {
  const open = await folderWith({ 'a.example.pem': good }, 0o644);
  const { held, faults } = await readClientCertificates(open);
  assert.deepEqual([held, faults.map(({ message }) => /mode 644, expected .* 600/.test(message))], [[], [true]]);
  const linked = await folderWith({});
  await symlink(join(open, 'a.example.pem'), join(linked, 'b.example.pem'));
  assert.match((await readClientCertificates(linked)).faults[0]!.message, /ELOOP/);
  await chmod(open, 0o750);
  await assert.rejects(readClientCertificates(open), { code: 'state-permissions' });
  await symlink(linked, join(root, 'link'));
  await assert.rejects(readClientCertificates(join(root, 'link')), { code: 'state-permissions' });
  await assert.rejects(readClientCertificates(join(root, 'nowhere')), { code: 'state-permissions' });
});
