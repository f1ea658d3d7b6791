import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runCommand, startServerProcess, writeServerConfig } from '../../test/support/command-line.ts';

test('one-time grants of every door are made, listed and taken back once, and none is taken back at the door of another', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-grants-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = (name: string): string => join(folder, name);
  const listeners = ['admin', 'dataPlane', 'public', 'acme', 'cmp', 'scep'].map((name) => `${name}: "127.0.0.1:0"`);
  await using server = await startServerProcess(writeServerConfig(folder, [`listen: {${listeners.join(', ')}}`]));
  const where = ['--server', `https://${server.addresses.admin}`, '--root', file('data/root.pem')];
  const exchange = ['token', 'exchange', ...where, '--bootstrap-file', file('data/bootstrap.token'), '--name', 'ada'];
  assert.equal((await runCommand([...exchange, '--out', file('ada.token')])).code, 0);
  const run = (...args: readonly string[]) => runCommand([...args, ...where, '--token-file', file('ada.token')]);
  const ids = async (kind: string): Promise<readonly string[]> => {
    const { stdout, stderr, code } = await run('list', kind, '--json');
    assert.equal(code, 0, stderr);
    return (JSON.parse(stdout) as { readonly items: readonly { readonly id: string; readonly maker: string }[] }).items.map(
      ({ id, maker }) => {
        assert.equal(maker, 'ada');
        return id;
      },
    );
  };
  const doors = [
    {
      word: 'acme',
      kind: 'acme-bindings',
      given: ['--name', 'web', '--role', 'ci'],
      form: /^EAB_KID=token_\w{26}\nEAB_HMAC_KEY=[\w-]{43}\n$/,
    },
    {
      word: 'cmp',
      kind: 'cmp-secrets',
      given: ['--name', 'p', '--dns', 'p.example'],
      form: /^CMP_REF=token_\w{26}\nCMP_SECRET=[\w-]{43}\n$/,
    },
    { word: 'scep', kind: 'scep-challenges', given: ['--profile', 'server', '--dns', 'p.example'], form: /^[0-9a-hjkmnp-tv-z]{26}\n$/ },
  ] as const;
  for (const { word, kind, given, form } of doors) {
    const made = await run('token', word, ...given, '--out', file(word));
    assert.equal(made.code, 0, made.stderr);
    assert.match(readFileSync(file(word), 'utf8'), form);
    assert.equal(statSync(file(word)).mode & 0o777, 0o600);
    assert.equal((await ids(kind)).length, 1, word);
    for (const wrong of [
      [...given, '--ttl', 'long'],
      [...given, '--ttl', '0'],
      [...given, '--ttl', '129601'],
      given.slice(2),
      ['--revoke', 'token_00000000000000000000000000'],
      ['--revoke', '../tokens'],
    ])
      assert.notEqual((await run('token', word, ...wrong)).code, 0, `${word} ${wrong.join(' ')}`);
    assert.equal((await ids(kind)).length, 1, word);
  }
  for (const { word, kind } of doors) {
    const [id] = (await ids(kind)) as [string];
    for (const other of doors.filter((door) => door.word !== word)) {
      assert.notEqual((await run('token', other.word, '--revoke', id)).code, 0, `${id} of ${word} by ${other.word}`);
    }
    const revoked = await run('token', word, '--revoke', id);
    assert.deepEqual([revoked.code, revoked.stdout], [0, `${id} buys nothing any more\n`], revoked.stderr);
    assert.notEqual((await run('token', word, '--revoke', id)).code, 0, 'again');
    assert.deepEqual(await ids(kind), []);
  }
});
