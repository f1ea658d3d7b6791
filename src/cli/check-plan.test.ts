import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeTestAuthority } from '../../test/support/test-authority.ts';
import { Problem } from '../core/problems/problem.ts';
import { DAY_MS } from '../core/time/instant.ts';
import { encodePem } from '../core/x509/pem.ts';
import { planCheck } from './check-plan.ts';
import { nameOfTarget, parseTarget } from './check-target.ts';
import { openOutput } from './output.ts';

const folder = await mkdtemp(join(tmpdir(), 'countersign-plan-'));
after(() => rm(folder, { recursive: true }));
const write = async (name: string, text: string): Promise<string> => {
  await writeFile(join(folder, name), text);
  return join(folder, name);
};
const plan = (args: readonly string[], options: { readonly [name: string]: string | boolean } = {}) =>
  planCheck({ args, options, output: openOutput(false, () => undefined) });
const policyNamed = (name: string, more = ''): string => `apiVersion: countersign/v1\nkind: Policy\nname: ${name}\n${more}`;

test('parseTarget() reads hosts, addresses and https URLs', () => {
  for (const [text, name] of [
    ['orders.example', 'orders.example:443'],
    ['Orders.Example:8443', 'orders.example:8443'],
    ['https://orders.example/', 'orders.example:443'],
    ['127.0.0.1:1', '127.0.0.1:1'],
    ['[::1]:8443', '[::1]:8443'],
  ] as const)
    assert.equal(nameOfTarget(parseTarget(text)), name);
});

test('parseTarget() refuses what is no host with a port', () => {
  for (const text of [
    '',
    ':443',
    'a:0',
    'a:65536',
    'a:b',
    '::1',
    '[::1',
    '[1.2.3.4]:1',
    '10.0.0.300',
    'a b',
    'http://a',
    'https://a/b',
    '-a-',
    'a..b',
    'u@a',
  ])
    assert.throws(() => parseTarget(text), Problem, text);
});

test('planCheck() takes targets as a client would come to them', async () => {
  const { targets, threshold, expiresWithinMs } = await plan(['orders.example', '127.0.0.1:8443']);
  assert.deepEqual(
    targets.map(({ serverName, identity, anchors, clientCertificate }) => [serverName, identity.kind, anchors, clientCertificate]),
    [
      ['orders.example', 'dns', 'public', null],
      [null, 'ip', 'public', null],
    ],
  );
  assert.deepEqual([threshold, expiresWithinMs], ['medium', null]);
  assert.equal((await plan(['a'], { expiresWithin: '30d' })).expiresWithinMs, 30 * DAY_MS);
});

test('planCheck() takes what a file says of a target over what the command line says', async () => {
  const root = encodePem('CERTIFICATE', makeTestAuthority(Date.now()).root.der);
  await write('root.pem', root);
  const policies = await write(
    'policies.yaml',
    `${policyNamed('default')}---\n${policyNamed('strict', 'tls: { minimumVersion: "1.3" }\n')}`,
  );
  const file = await write(
    'check.yaml',
    [
      'targets:',
      '  - address: 127.0.0.1:8443',
      '    serverName: orders.example',
      '    clientCertificate: required',
      '    anchors: root.pem',
      '    policy: strict',
      '  - address: orders.example',
      '    identity: spiffe://acme.example/production/orders',
      '    speech: other',
      'ignore:',
      '  - { rule: plaintext, target: orders.example, reason: until June, until: 2027-06-30 }',
    ].join('\n'),
  );
  const { targets, ignores } = await plan([], { file, policy: policies });
  const [first, second] = targets;
  assert.deepEqual(
    [first?.serverName, first?.identity, first?.clientCertificate],
    ['orders.example', { kind: 'dns', name: 'orders.example' }, 'required'],
  );
  assert.deepEqual([first?.policy.tls.minimumVersion, first?.anchors.length, first?.place?.line], ['1.3', 1, 2]);
  assert.deepEqual(second?.identity, { kind: 'uri', uri: 'spiffe://acme.example/production/orders' });
  assert.deepEqual([second?.speech, second?.policy.tls.minimumVersion, second?.place?.line], ['other', '1.2', 7]);
  assert.deepEqual(
    ignores.map(({ rule, target, until }) => [rule, target, new Date(until).toISOString()]),
    [['plaintext', 'orders.example:443', '2027-06-30T23:59:59.999Z']],
  );
});

test('planCheck() refuses what is not as documented', async () => {
  const empty = await write('empty.yaml', '');
  const cases: readonly (readonly [readonly string[], { readonly [name: string]: string }, RegExp])[] = [
    [[], {}, /targets are missing/],
    [['a:99999'], {}, /Cannot read target/],
    [['a'], { severity: 'worst' }, /--severity worst, expected critical, high, medium, low/],
    [['a'], { expiresWithin: '30' }, /--expires-within 30/],
    [['a'], { clientCertificate: 'yes' }, /expected required or not-required/],
    [['a'], { certificate: 'x.pem' }, /go together/],
    [['a'], { anchors: empty }, /expected certificates as PEM/],
    [['a'], { anchors: join(folder, 'none.pem') }, /expected a readable file/],
    [['a'], { policy: empty }, /expected kind: Policy/],
    [['a'], { policy: await write('one.yaml', policyNamed('strict')), policyName: 'lax' }, /policy lax: there is none/],
    [[], { file: await write('key.yaml', 'targets:\n  - address: a\n    port: 2\n') }, /line 3.*an unknown key/],
    [[], { file: await write('ever.yaml', 'targets: []\nignore:\n  - rule: plaintext\n    reason: x\n') }, /line 3.*until/],
    [[], { file: await write('why.yaml', 'ignore:\n  - rule: plaintext\n    until: 2999-01-01\n') }, /reason/],
    [[], { file: await write('lax.yaml', 'targets:\n  - address: a\n    policy: lax\n') }, /policy lax, expected one of --policy/],
    [[], { file: await write('two.yaml', 'targets: []\n---\ntargets: []\n') }, /not one YAML document/],
    [[], { file: await write('bad.yaml', 'targets: [\n') }, /not one YAML document at line \d/],
    [[], { file: await write('list.yaml', '- a\n') }, /expected keys and values/],
    [[], { file: await write('long.yaml', `# ${'x'.repeat(1_048_576)}\ntargets: []\n`) }, /expected at most 1048576/],
  ];
  for (const [args, options, said] of cases) await assert.rejects(plan(args, options), said);
});
