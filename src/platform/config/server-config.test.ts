import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseServerConfig } from './server-config.ts';

const minimal = 'dataDirectory: data\nkeyFile: kek\ntrustDomain: acme.example\n';

test('parseServerConfig() takes the three keys that have no default', () => {
  const config = parseServerConfig(minimal, '/srv');
  assert.equal(config.dataDirectory, '/srv/data');
  assert.deepEqual(config.key, { kind: 'file', path: '/srv/kek' });
  assert.equal(config.database, 'sqlite:/srv/data/countersign.sqlite');
  assert.deepEqual(config.listen.admin, { host: '127.0.0.1', port: 8443 });
  assert.equal(config.network.permits('127.0.0.1'), true);
  assert.equal(config.network.permits('10.0.0.1'), false);
});

test('parseServerConfig() refuses what it does not know or cannot use', () => {
  const cases = [
    ['an unknown key', `${minimal}colour: red\n`],
    ['an unknown inner key', `${minimal}listen: {admim: "127.0.0.1:1"}\n`],
    ['a missing trust domain', 'dataDirectory: data\nkeyFile: kek\n'],
    ['two key sources', `${minimal}passphraseFile: p\n`],
    ['no key source', 'dataDirectory: data\ntrustDomain: acme.example\n'],
    ['an address with a name', `${minimal}listen: {admin: "localhost:1"}\n`],
    ['a foreign database', `${minimal}database: mysql://x\n`],
    ['an environment with a slash', `${minimal}environment: a/b\n`],
    ['ranges that are no list', `${minimal}network: {allow: 10.0.0.0/8}\n`],
    ['a repeated key', `${minimal}keyFile: other\n`],
    ['a list at the top', '- a\n'],
    ['broken YAML', 'a: [\n'],
    ['a number for text', `${minimal}region: 7\n`],
    ['a public URL with TLS', `${minimal}publicUrl: https://x\n`],
    ['a public URL with a path', `${minimal}publicUrl: http://x/y\n`],
    ['a public URL that is none', `${minimal}publicUrl: x\n`],
    ['an unknown log level', `${minimal}logLevel: loud\n`],
  ] as const;
  for (const [name, text] of cases) assert.throws(() => parseServerConfig(text, '/srv'), { code: 'input-invalid' }, name);
});

test('parseServerConfig() refuses a trust domain that SPIFFE refuses', () => {
  assert.throws(() => parseServerConfig('dataDirectory: d\nkeyFile: k\ntrustDomain: ACME\n', '/srv'), { code: 'identity-malformed' });
});
