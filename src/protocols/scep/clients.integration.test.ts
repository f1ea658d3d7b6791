import assert from 'node:assert/strict';
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { missing, runProgram } from '../../../test/support/peer-program.ts';
import { firstOf, openScepLab } from '../../../test/support/scep-lab.ts';

const scratch = mkdtempSync(join(tmpdir(), 'countersign-scep-clients-'));
const lab = await openScepLab(
  `sqlite:${join(scratch, 'scep.sqlite')}`,
  {
    printer: {
      base: 'server',
      extendedKeyUsage: ['clientAuth'],
      keys: { rsa: { min: 2048, max: 4096 } },
      askers: { scep: {}, renewal: {} },
    },
  },
  Date.now() + 3_600_000,
);
after(async () => {
  await lab[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

const named = (name: string): string[] => ['--dn', `CN=${name}`, '--san', name];

/** Runs it with key and certificate in a folder. */
async function scepclient(folder: string, ...args: readonly string[]) {
  // It would encrypt to our issuing authority too, whose key is EC: the fingerprint names the one that takes messages.
  const { body } = await lab.call('operation=GetCACert');
  const fingerprint = createHash('sha256').update(firstOf(body).der).digest('hex');
  const files = ['-private-key', join(folder, 'key.pem'), '-certificate', join(folder, 'cert.pem')];
  return runProgram('scepclient', ['-server-url', lab.base, '-ca-fingerprint', fingerprint, ...files, ...args]);
}

test('scepclient: enrolment by a challenge, renewal by the certificate', { skip: missing('scepclient') }, async () => {
  const folder = await mkdtemp(join(scratch, 'seven'));
  const challenge = await lab.challengeFor(['printer-7.example'], { profile: 'printer' });
  const enrolled = await scepclient(folder, '-cn', 'printer-7.example', '-challenge', challenge.text);
  assert.equal(enrolled.code, 0, enrolled.stderr + enrolled.stdout);
  const first = new X509Certificate(await readFile(join(folder, 'cert.pem')));
  assert.equal(first.subjectAltName, 'DNS:printer-7.example');
  assert.ok(first.checkPrivateKey(createPrivateKey(await readFile(join(folder, 'key.pem')))));
  const renewed = await scepclient(folder, '-cn', 'printer-7.example');
  assert.equal(renewed.code, 0, renewed.stderr + renewed.stdout);
  const doors = lab.ca.entriesOf('certificate.reserved').slice(-2);
  assert.deepEqual(
    doors.map(({ data }) => [data['door'], data['scep'] !== undefined]),
    [
      ['scep', true],
      ['renewal', true],
    ],
  );
});

test(
  'strongSwan: enrolment and renewal with AES and SHA-256, and polling until persons have approved',
  { skip: missing('pki') },
  async () => {
    await using modern = await openScepLab(`sqlite:${join(scratch, 'modern.sqlite')}`, {
      slow: { base: 'server', askers: { scep: {} }, approvals: {} },
    });
    const folder = await mkdtemp(join(scratch, 'swan'));
    const at = (name: string): string => join(folder, name);
    const fetched = await runProgram('pki', [
      '--scepca',
      '--url',
      modern.base,
      '--caout',
      at('ca.pem'),
      '--raout',
      at('ra.pem'),
      '--outform',
      'pem',
    ]);
    assert.equal(fetched.code, 0, fetched.stderr);
    const pki = async (output: string, ...args: readonly string[]): Promise<void> => {
      const { code, stdout, stderr } = await runProgram('pki', [...args, '--outform', 'pem']);
      assert.equal(code, 0, stderr + JSON.stringify(modern.logged));
      await writeFile(at(output), stdout);
    };
    for (const key of ['one', 'two', 'three']) await pki(`${key}.key`, '--gen', '--type', 'rsa', '--size', '2048');
    const server = [
      '--scep',
      '--url',
      modern.base,
      '--cacert-enc',
      at('ra.pem'),
      '--cacert-sig',
      at('ra.pem'),
      '--cacert',
      modern.rootFile,
    ];
    const challenge = await modern.challengeFor(['router.example']);
    await pki('one.pem', ...server, ...named('router.example'), '--in', at('one.key'), '--password', challenge.text);
    await pki('two.pem', ...server, ...named('router.example'), '--in', at('two.key'), '--cert', at('one.pem'), '--key', at('one.key'));
    const [one, two] = await Promise.all(['one.pem', 'two.pem'].map(async (name) => new X509Certificate(await readFile(at(name)))));
    assert.equal(two!.subjectAltName, 'DNS:router.example');
    assert.ok(!two!.publicKey.equals(one!.publicKey));
    const slow = await modern.challengeFor(['slow.example'], { profile: 'slow' });
    const filed = modern.entry('issuance-request.filed');
    const polls = ['--interval', '1', '--maxpolltime', '20'];
    const enrolled = pki('three.pem', ...server, ...named('slow.example'), '--in', at('three.key'), '--password', slow.text, ...polls);
    await modern.judge(String((await filed).data['requestId']), 'approve');
    await enrolled;
    assert.equal(new X509Certificate(await readFile(at('three.pem'))).subjectAltName, 'DNS:slow.example');
  },
);

test('scepclient: a challenge serves once', { skip: missing('scepclient') }, async () => {
  const challenge = await lab.challengeFor(['printer-8.example'], { profile: 'printer' });
  const run = async (device: string) =>
    // It keeps its CSR beside its key.
    scepclient(await mkdtemp(join(scratch, device)), '-cn', 'printer-8.example', '-challenge', challenge.text);
  const one = await run('one');
  assert.equal(one.code, 0, one.stderr + one.stdout);
  const two = await run('two');
  assert.notEqual(two.code, 0);
  assert.ok(lab.logged.some(({ event, fields }) => event === 'scep.refused' && fields['reason'] === `challenge ${challenge.id}: used`));
});
