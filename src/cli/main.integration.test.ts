import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { once } from 'node:events';
import { after, describe, test } from 'node:test';
import { Problem } from '../core/problems/problem.ts';
import { version } from '../core/version.ts';
import { closedAddress } from '../../test/support/endpoints.ts';
import { type Ended, runCommand } from '../../test/support/command-line.ts';
import { makeTestAuthority } from '../../test/support/test-authority.ts';
import { encodePem } from '../core/x509/pem.ts';
import { commands, groups } from './commands.ts';
import { exitCodes } from './exit-codes.ts';

const worker = new Worker(join(import.meta.dirname, '../../test/support/command-worker.ts'));
after(() => worker.terminate());
const folder = mkdtempSync(join(tmpdir(), 'countersign-cli-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, content: string): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const root = file('root.pem', encodePem('CERTIFICATE', makeTestAuthority(Date.now()).root.der));
const closed = await closedAddress();
const server = ['--server', `https://127.0.0.1:${closed.port}`, '--root', root];

/** Runs a command line without a process for each. */
async function run(...argv: string[]): Promise<Ended> {
  const answer = once(worker, 'message') as Promise<[Ended]>;
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  worker.postMessage(argv);
  return (await answer)[0];
}

describe('help', () => {
  test('teaches the commands, their groups and every exit code', async () => {
    const { code, stdout } = await run('--help');
    assert.equal(code, exitCodes.ok.code);
    for (const word of new Set(commands.map(({ words }) => words.split(' ')[0]!))) assert.match(stdout, new RegExp(`^ +${word}\\b`, 'm'));
    for (const { code: number, meaning } of Object.values(exitCodes)) assert.ok(stdout.includes(`${number}`) && stdout.includes(meaning));
  });

  for (const { words, summary, options, arguments: given = [], client, example } of commands) {
    test(`of ${words} says what it does, takes and looks like`, async () => {
      const { code, stdout, stderr } = await run(...words.split(' '), '--help');
      assert.deepEqual([code, stderr], [exitCodes.ok.code, '']);
      const text = stdout.replaceAll(/\s+/g, ' ');
      assert.ok(text.includes(summary.replaceAll(/\s+/g, ' ')), stdout);
      for (const [flags] of [...given, ...options]) assert.ok(text.includes(flags.replace(/^[[<](.*?)(\.\.\.)?[\]>]$/, '$1')), flags);
      assert.equal(text.includes('--token-file'), client);
      assert.ok(text.includes('--json') && text.includes(`$ ${example.replaceAll(/\s+/g, ' ')}`));
      assert.ok(example.startsWith(`countersign ${words}`));
    });
  }

  test('of each group lists its commands', async () => {
    for (const [word, meaning] of Object.entries(groups)) {
      const { code, stdout } = await run(word, '--help');
      assert.equal(code, exitCodes.ok.code);
      assert.ok(stdout.replaceAll(/\s+/g, ' ').includes(meaning), word);
      for (const { words } of commands.filter((command) => command.words.startsWith(`${word} `)))
        assert.match(stdout, new RegExp(`^ +${words.split(' ')[1]!}\\b`, 'm'));
    }
  });

  test('--version says the version', async () => {
    assert.deepEqual(await run('--version'), { code: 0, stdout: `${version}\n`, stderr: '' });
  });
});

/** Command lines and files that are not as documented. */
const wrong: { readonly [name: string]: readonly string[] } = {
  'no command': [],
  'an unknown command': ['fly'],
  'a group without a command': ['cert'],
  'an unknown command of a group': ['cert', 'fly'],
  'an unknown option': ['coverage', '--colour'],
  'a missing argument': ['cert', 'revoke', ...server],
  'too many arguments': ['coverage', 'x', ...server],
  'no server': ['coverage', '--root', root],
  'a server without TLS': ['coverage', '--server', 'http://127.0.0.1:1', '--root', root],
  'a server that is no URL': ['coverage', '--server', 'https://', '--root', root],
  'no root': ['coverage', '--server', 'https://127.0.0.1:1'],
  'a root that is not there': ['coverage', ...server.slice(0, 2), '--root', join(folder, 'none')],
  'a root that is no PEM': ['coverage', ...server.slice(0, 2), '--root', file('garbage', 'garbage')],
  'a root that is empty': ['coverage', ...server.slice(0, 2), '--root', file('empty', '')],
  'a root that is PEM of no certificate': [
    'coverage',
    ...server.slice(0, 2),
    '--root',
    file('no.pem', encodePem('CERTIFICATE', Buffer.from('x'))),
  ],
  'a token file that is not there': ['coverage', ...server, '--token-file', join(folder, 'none')],
  'a token file of two lines': ['coverage', ...server, '--token-file', file('two', 'one\ntwo\n')],
  'a token file that is empty': ['coverage', ...server, '--token-file', file('void', '\n')],
  'a bootstrap file that is not there': ['token', 'exchange', ...server, '--bootstrap-file', join(folder, 'none'), '--name', 'x'],
  'a missing option': ['token', 'create', ...server, '--name', 'x'],
  'a life that is no number': ['token', 'join', ...server, '--proxy', 'x', '--ttl', 'long'],
  'an unknown kind': ['list', 'things', ...server],
  'a kind of the prototype': ['list', 'constructor', ...server],
  'a declaration that is not there': ['apply', ...server, '--file', join(folder, 'none')],
  'a CSR that is not there': ['cert', 'issue', ...server, '--profile', 'server', '--csr', join(folder, 'none')],
  'a CSR that is none': ['cert', 'issue', ...server, '--profile', 'server', '--csr', file('csr', 'garbage')],
  'a file to write that is taken': ['token', 'create', ...server, '--name', 'x', '--role', 'ci', '--out', file('taken', 'x')],
  'a directory to write into that is not there': [
    'token',
    'create',
    ...server,
    '--name',
    'x',
    '--role',
    'ci',
    '--out',
    join(folder, 'no', 'x'),
  ],
  'two scopes': ['cert', 'rotate', ...server, '--all', '--proxy', 'x'],
  'no scope': ['cert', 'rotate', ...server],
  'ticket keys of nobody': ['ticket', 'rotate', ...server],
  'ticket keys of all and of one': ['ticket', 'rotate', ...server, '--all', '--service', 'x'],
  'a date that is none': ['rollout', 'weaken', 'x', ...server, '--until', 'soon', '--mode', 'observe', '--reason', 'x'],
  'a configuration that is not there': ['server', '--config', join(folder, 'none')],
  'a configuration that is none': ['server', '--config', file('list.yaml', '- a\n')],
  'an unknown key type': [
    'ca',
    'init',
    '--config',
    file('some.yaml', 'dataDirectory: d\nkeyFile: k\ntrustDomain: a.example\n'),
    '--key-type',
    'DSA',
  ],
  'two new keys': ['ca', 'rewrap', '--config', join(folder, 'some.yaml'), '--new-key-file', 'a', '--new-passphrase-file', 'b'],
  'no new key': ['ca', 'rewrap', '--config', join(folder, 'some.yaml')],
  'an address range that is none': ['discover', '--dry-run', '127.0.0.1'],
  'an address outside of the ranges': ['discover', '--dry-run', '10.0.0.1:80'],
  'a rate that is none': ['discover', '--dry-run', '--per-second', '0', '127.0.0.1:1'],
  'an export that is not there': ['audit', 'verify', join(folder, 'none')],
  'a join without a token': ['proxy', '--control', '127.0.0.1:1', '--state', join(folder, 'state')],
  'a control plane by name': ['proxy', '--control', 'localhost:1', '--state', join(folder, 'state')],
};

describe('what is not as documented', () => {
  for (const [name, argv] of Object.entries(wrong)) {
    test(`${name} ends with exit code ${exitCodes.usage.code}, in words or as one JSON document`, async () => {
      const plain = await run(...argv);
      assert.equal(plain.code, exitCodes.usage.code, plain.stderr);
      assert.equal(plain.stdout, '');
      assert.notEqual(plain.stderr, '');
      assert.doesNotMatch(plain.stderr, /^ +at /m, 'no stack');
      const json = await run(...argv, '--json');
      assert.equal(json.code, exitCodes.usage.code);
      const { error } = JSON.parse(json.stderr) as { readonly error: { readonly code: string; readonly message: string } };
      assert.match(error.code, /^[a-z-]+$/);
      assert.ok(error.message.length > 0 && !error.message.startsWith('error:'));
    });
  }

  test('a taken name is refused before the server is asked, and left as it was', async () => {
    const { stderr } = await run('token', 'create', ...server, '--name', 'x', '--role', 'ci', '--out', file('kept', 'kept'));
    assert.match(stderr, /expected a name that is not taken/);
  });
});

test('a server that nobody listens for ends with exit code 4, and leaves no file', async () => {
  const out = join(folder, 'never');
  const { code, stderr } = await run('token', 'create', ...server, '--name', 'x', '--role', 'ci', '--out', out);
  assert.equal(code, exitCodes.unreachable.code);
  assert.match(stderr, /ECONNREFUSED/);
  const again = await run('coverage', ...server, '--json');
  assert.equal(again.code, exitCodes.unreachable.code);
  assert.equal((JSON.parse(again.stderr) as { error: { code: string } }).error.code, 'unreachable');
  file('never', 'the name is free again');
});

test('what fails inside ends with exit code 70 and its code, without a stack', async () => {
  const config = file(
    'inside.yaml',
    `dataDirectory: ${join(folder, 'inside')}\nkeyFile: ${join(folder, 'inside', 'kek')}\ntrustDomain: a.example\n`,
  );
  const plain = await run('ca', 'init', '--config', config);
  assert.equal(plain.code, exitCodes.internal.code);
  assert.match(plain.stderr, /^Countersign failed: .*\[key-file-unsafe\]\n$/);
  const json = await run('ca', 'init', '--config', config, '--json');
  assert.equal((JSON.parse(json.stderr) as { error: { code: string } }).error.code, 'key-file-unsafe');
});

test('an error carries no control character of its input to the terminal', async () => {
  for (const argv of [
    ['list', '\u001b]0;owned\u0007', ...server],
    ['\u001b[2J'],
    ['coverage', '--root', root, '--server', 'https://\u009b2J'],
  ]) {
    const { stderr } = await run(...argv);
    assert.doesNotMatch(stderr.replaceAll('\n', ''), /[\p{Cc}\p{Bidi_Control}]/u);
  }
});

test('environment variables stand for --server, --root and --token-file, and options win', async () => {
  const env = {
    COUNTERSIGN_SERVER: `https://127.0.0.1:${closed.port}`,
    COUNTERSIGN_ROOT: root,
    COUNTERSIGN_TOKEN_FILE: join(folder, 'none'),
  };
  const missing = await runCommand(['coverage'], { env });
  assert.deepEqual([missing.code, /Cannot read token/.test(missing.stderr)], [exitCodes.usage.code, true]);
  const reached = await runCommand(['coverage', '--token-file', file('token', 'cs_x\n')], { env });
  assert.equal(reached.code, exitCodes.unreachable.code, reached.stderr);
});

test('every problem has an exit code: those of the caller end as usage, those inside as internal', () => {
  assert.equal(new Problem('input-invalid', 'x').status < 500, true);
  assert.equal(new Problem('database-unsafe', 'x').status >= 500, true);
  assert.deepEqual(
    Object.values(exitCodes).map(({ code }) => code),
    [0, 1, 2, 3, 4, 5, 70],
  );
});
