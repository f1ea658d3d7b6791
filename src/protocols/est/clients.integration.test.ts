import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openEstLab } from '../../../test/support/est-lab.ts';
import { missing, type ProgramAnswer, runProgram } from '../../../test/support/peer-program.ts';
import { decodePem } from '../../core/x509/pem.ts';

const scratch = mkdtempSync(join(tmpdir(), 'countersign-est-clients-'));
const file = (name: string): string => join(scratch, name);
const lab = await openEstLab(`sqlite:${file('est.sqlite')}`, {
  profiles: { device: { base: 'server', extendedKeyUsage: ['clientAuth'], names: { dns: ['*.devices.example'] } } },
  est: { profile: 'device' },
});
after(async () => {
  await lab[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});
const token = await lab.tokenOf('ci');

/** Runs a program that has to succeed, and writes what it says on stdout to a file. */
async function make(output: string, program: string, ...args: readonly string[]): Promise<ProgramAnswer> {
  const answer = await runProgram(program, args);
  assert.equal(answer.code, 0, `${program} ${args.join(' ')}\n${answer.stderr}`);
  await writeFile(file(output), answer.stdout);
  return answer;
}

const pemOf = async (name: string): Promise<X509Certificate> => new X509Certificate(await readFile(file(name)));
const trust = ['--cacert', lab.rootFile];

test('strongSwan: cacerts, enrolment by HTTP Basic, re-enrolment by mutual TLS with a new key', { skip: missing('pki') }, async () => {
  const estCa = await runProgram('pki', ['--estca', '--url', lab.base, ...trust, '--caout', file('ca.pem'), '--outform', 'pem', '--force']);
  assert.equal(estCa.code, 0, estCa.stderr);
  const names = ['--dn', 'CN=dev1.devices.example', '--san', 'dev1.devices.example'];
  // Version 5.9.8 knows no labels.
  const estUrl = ['--url', lab.base];
  await make('key.pem', 'pki', '--gen', '--type', 'ecdsa', '--size', '256', '--outform', 'pem');
  await make('req.pem', 'pki', '--req', '--in', file('key.pem'), '--type', 'ecdsa', ...names, '--outform', 'pem');
  await make('cert.pem', 'pki', '--est', ...estUrl, '--in', file('req.pem'), ...trust, '-p', `dev1:${token}`, '--outform', 'pem');
  const first = await pemOf('cert.pem');
  assert.equal(first.subjectAltName, 'DNS:dev1.devices.example');
  await make('key2.pem', 'pki', '--gen', '--type', 'ecdsa', '--size', '384', '--outform', 'pem');
  await make('req2.pem', 'pki', '--req', '--in', file('key2.pem'), '--type', 'ecdsa', ...names, '--outform', 'pem');
  const held = ['--cert', file('cert.pem'), '--key', file('key.pem')];
  await make('cert2.pem', 'pki', '--est', ...estUrl, '--in', file('req2.pem'), ...trust, ...held, '--outform', 'pem');
  const second = await pemOf('cert2.pem');
  assert.equal(second.subjectAltName, first.subjectAltName);
  assert.notEqual(second.serialNumber, first.serialNumber);
  assert.ok(!second.publicKey.equals(first.publicKey));
  const refused = await runProgram('pki', ['--est', ...estUrl, '--in', file('req2.pem'), ...trust, '-p', 'dev1:wrong', '--outform', 'pem']);
  assert.notEqual(refused.code, 0);
});

test('strongSwan: told to wait, it asks again until persons have approved', { skip: missing('pki') }, async () => {
  await using slow = await openEstLab(`sqlite:${file('slow.sqlite')}`, {
    profiles: { device: { base: 'server', askers: { est: {} }, approvals: {} } },
    est: { profile: 'device' },
  });
  await make('slow.key', 'pki', '--gen', '--type', 'ecdsa', '--size', '256', '--outform', 'pem');
  const names = ['--dn', 'CN=slow.example', '--san', 'slow.example'];
  await make('slow.req', 'pki', '--req', '--in', file('slow.key'), '--type', 'ecdsa', ...names, '--outform', 'pem');
  const who = ['--cacert', slow.rootFile, '-p', `slow:${await slow.tokenOf('ci')}`];
  const filed = slow.entry('issuance-request.filed');
  const polls = ['--interval', '1', '--maxpolltime', '20'];
  const enrolled = make('slow.pem', 'pki', '--est', '--url', slow.base, '--in', file('slow.req'), ...who, ...polls, '--outform', 'pem');
  const { data } = await filed;
  await slow.judge(String(data['requestId']), 'approve');
  await enrolled;
  assert.equal((await pemOf('slow.pem')).subjectAltName, 'DNS:slow.example');
  assert.equal(slow.ca.entriesOf('certificate.issued').at(-1)?.data['requestId'], data['requestId']);
});

test('curl and openssl: cacerts, enrolment', { skip: missing('curl') || missing('openssl') }, async () => {
  const curl = ['-sS', '--fail', '--cacert', lab.rootFile];
  const fetched = await make('cacerts.b64', 'curl', ...curl, `${lab.base}/.well-known/est/cacerts`);
  assert.doesNotMatch(fetched.stdout, /\n/);
  await writeFile(file('cacerts.p7'), Buffer.from(fetched.stdout, 'base64'));
  await make('cacerts.pem', 'openssl', 'pkcs7', '-inform', 'DER', '-in', file('cacerts.p7'), '-print_certs');
  const held = decodePem(await readFile(file('cacerts.pem'), 'utf8'), 'CERTIFICATE').map((der) => Buffer.from(der).toString('hex'));
  const { roots, issuing } = lab.authorities;
  assert.deepEqual(
    new Set(held),
    new Set([...roots, ...issuing.map(({ certificate }) => certificate)].map(({ der }) => Buffer.from(der).toString('hex'))),
  );
  const request = ['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file('curl.key')];
  await make('curl.csr', 'openssl', ...request, '-subj', '/CN=web.example', '-addext', 'subjectAltName=DNS:web.example,IP:192.0.2.7');
  await make('curl.der', 'openssl', 'req', '-in', file('curl.csr'), '-outform', 'DER', '-out', file('curl.csr.der'));
  // openssl breaks its lines at 64 characters.
  await make('curl.b64', 'openssl', 'base64', '-in', file('curl.csr.der'));
  const post = [
    '--data-binary',
    `@${file('curl.b64')}`,
    '-H',
    'Content-Type: application/pkcs10',
    '-H',
    'Content-Transfer-Encoding: base64',
  ];
  const enrolled = await make('curl.p7', 'curl', ...curl, '-u', `web:${token}`, ...post, `${lab.base}/.well-known/est/server/simpleenroll`);
  await writeFile(file('curl.p7.der'), Buffer.from(enrolled.stdout, 'base64'));
  await make('curl.pem', 'openssl', 'pkcs7', '-inform', 'DER', '-in', file('curl.p7.der'), '-print_certs');
  await make('curl.ok', 'openssl', 'verify', '-CAfile', file('cacerts.pem'), file('curl.pem'));
  assert.equal((await pemOf('curl.pem')).subjectAltName, 'DNS:web.example, IP Address:192.0.2.7');
});
