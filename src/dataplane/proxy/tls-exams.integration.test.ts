import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { hasOpenssl, openssl } from '../../../test/support/openssl.ts';
import {
  chainPemOf,
  clientOptions,
  identityOf,
  inboundTo,
  keyPemOf,
  ORDERS,
  ProxyLab,
  STOREFRONT,
} from '../../../test/support/proxy-lab.ts';
import { sClient } from '../../../test/support/s-client.ts';

const skip = (await hasOpenssl()) ? false : 'openssl is missing';
const folder = await mkdtemp(join(tmpdir(), 'countersign-exam-'));
after(() => rm(folder, { recursive: true }));

/** One running proxy with an enforced port under the default policy, and the files of a caller who is let in. */
const lab = new ProxyLab(ORDERS);
const caller = lab.authority.issue({ uris: [STOREFRONT] });
const files = { cert: join(folder, 'caller.pem'), key: join(folder, 'caller.key') };
before(async () => {
  const origin = await lab.origin();
  await lab.apply({ inbound: [inboundTo(origin.port, 'enforce', { hostMatchesSni: true })] });
  await writeFile(files.cert, chainPemOf(caller));
  await writeFile(files.key, keyPemOf(caller));
});
after(() => lab[Symbol.asyncDispose]());

const credentials = ['-cert', files.cert, '-cert_chain', files.cert, '-key', files.key];
const examine = (...args: readonly string[]): Promise<string> => sClient(lab.portOf(0), [...credentials, ...args]);
/** Anywhere in what s_client prints: its own words about tickets come between. */
const SERVED = /HTTP\/1\.1 200 OK/;

const EC_SUITES = ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-CHACHA20-POLY1305'];
const RSA_SUITES = ['ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES256-GCM-SHA384', 'ECDHE-RSA-CHACHA20-POLY1305'];

/** Every suite of TLS 1.2 and below that this OpenSSL can offer without a shared secret, by the key that it wants the server to have. */
async function suitesOfOpenssl(): Promise<{ readonly [authentication: string]: readonly string[] }> {
  const { output } = await openssl(['ciphers', '-s', '-v', '-tls1_2', 'ALL:COMPLEMENTOFALL:@SECLEVEL=0']);
  const lines = [...output.matchAll(/^(\S+) .*Au=(\S+)/gm)].filter(([, suite]) => !suite!.startsWith('TLS_'));
  return Object.fromEntries([...Map.groupBy(lines, ([, , by]) => by!)].map(([by, found]) => [by, found.map(([, suite]) => suite!)]));
}

/** A few at a time: each is a process. */
async function among(suites: readonly string[], isServed: (suite: string) => Promise<boolean>): Promise<readonly string[]> {
  const left = [...suites];
  const served: string[] = [];
  const work = async (): Promise<void> => {
    for (let suite = left.pop(); suite !== undefined; suite = left.pop()) if (await isServed(suite)) served.push(suite);
  };
  await Promise.all(Array.from({ length: 4 }, work));
  return served.toSorted();
}

async function isServed(suites: string): Promise<boolean> {
  return SERVED.test(await examine('-tls1_2', '-cipher', `${suites}:@SECLEVEL=0`));
}

describe('OpenSSL examines a running proxy', { skip }, () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const withRsa = { ...lab.authority.issue({ uris: [ORDERS], publicKey: rsa.publicKey }), key: rsa.privateKey };
  for (const [authentication, credential, expected] of [
    ['RSA', withRsa, RSA_SUITES],
    ['ECDSA', lab.credential, EC_SUITES],
  ] as const) {
    test(`of all suites of TLS 1.2 those with forward secrecy and authenticated encryption are served, by a key for ${authentication}`, async () => {
      const { [authentication]: fitting = [], ...others } = await suitesOfOpenssl();
      const unfitting = Object.values(others).flat();
      assert.ok(fitting.length > 10 && unfitting.length > 20, `${fitting.length} and ${unfitting.length} suites`);
      await lab.proxy.applyIdentity(identityOf(ORDERS, credential, lab.authority));
      lab.proxy.takeReport();
      assert.deepEqual(await among(fitting, isServed), expected.toSorted());
      // Had it any of these it would take it.
      assert.equal(await isServed(unfitting.join(':')), false);
      // Each of the others came to the proxy and was refused there: none failed for want of the client.
      const refused = lab.refusals().map(({ reason }) => reason);
      assert.deepEqual(
        refused,
        Array.from({ length: fitting.length - expected.length + 1 }, () => 'tls-malformed'),
      );
    });
  }

  const refusals: readonly (readonly [string, readonly string[], RefusalReason])[] = [
    ['TLS 1.0', ['-tls1', '-cipher', 'ALL:@SECLEVEL=0'], 'tls-version'],
    ['TLS 1.1', ['-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'], 'tls-version'],
    ['AES-CCM of TLS 1.3', ['-tls1_3', '-ciphersuites', 'TLS_AES_128_CCM_SHA256'], 'tls-malformed'],
    ['AES-CCM-8 of TLS 1.3', ['-tls1_3', '-ciphersuites', 'TLS_AES_128_CCM_8_SHA256'], 'tls-malformed'],
    ...['P-384', 'P-521', 'X448', 'ffdhe2048', 'ffdhe3072', 'ffdhe8192'].map(
      (group) => [`group ${group}`, ['-tls1_3', '-groups', group], 'tls-malformed'] as const,
    ),
    ...['P-384', 'P-521', 'X448', 'secp256k1', 'brainpoolP256r1', 'sect283k1'].map(
      (group) => [`group ${group} of TLS 1.2`, ['-tls1_2', '-groups', group], 'tls-malformed'] as const,
    ),
    ...['ECDSA+SHA1', 'ECDSA+SHA224', 'RSA+SHA1', 'RSA+SHA256'].map(
      (algorithm) =>
        [`signatures by ${algorithm} alone`, ['-tls1_2', '-sigalgs', algorithm, '-cipher', 'ALL:@SECLEVEL=0'], 'tls-malformed'] as const,
    ),
  ];
  for (const [name, args, reason] of refusals) {
    test(`refused: ${name}`, async () => {
      lab.proxy.takeReport();
      const text = await examine(...args);
      assert.doesNotMatch(text, SERVED);
      assert.match(text, /Cipher is \(NONE\)/);
      assert.deepEqual(
        lab.refusals().map((refusal) => refusal.reason),
        [reason],
      );
    });
  }

  const served: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['TLS 1.3 where both are offered', [], /New, TLSv1\.3, Cipher is TLS_AES_128_GCM_SHA256/],
    ['TLS 1.2 where that is all', ['-no_tls1_3'], /New, TLSv1\.2, Cipher is ECDHE-ECDSA-AES128-GCM-SHA256/],
    ...['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'].map(
      (suite) => [suite, ['-tls1_3', '-ciphersuites', suite], new RegExp(`Cipher is ${suite}`)] as const,
    ),
    ['X25519', ['-groups', 'X25519'], /Server Temp Key: X25519/],
    ['P-256', ['-groups', 'P-256'], /Server Temp Key: ECDH, prime256v1/],
    ['X25519 before P-256, in whatever order', ['-tls1_2', '-groups', 'P-256:X25519'], /Server Temp Key: X25519/],
    ['without compression, though it is wanted', ['-tls1_2', '-comp'], /Compression: NONE[^]*HTTP\/1\.1 200/],
    ['with the extended master secret', ['-tls1_2'], /Extended master secret: yes/],
    ['with a certificate asked for by the names of our anchors', ['-tls1_2'], /Acceptable client certificate CA names\nCN = Test Root\n/],
  ];
  for (const [name, args, expected] of served) {
    test(`served: ${name}`, async () => {
      const text = await examine(...args);
      assert.match(text, expected);
      assert.match(text, SERVED);
    });
  }

  test('callers are asked for no signature by SHA-1, SHA-224 or DSA', async () => {
    for (const version of ['-tls1_2', '-tls1_3']) {
      const asked = /^Requested Signature Algorithms: (.*)$/m.exec(await examine(version))?.[1] ?? '';
      assert.match(asked, /^ECDSA\+SHA256:/, version);
      assert.doesNotMatch(asked, /SHA1|SHA224|DSA\+(?!SHA)|(^|:)DSA/, version);
    }
  });

  test('a client that begins to renegotiate is told no, and has sent nothing on', async () => {
    const text = await renegotiate();
    assert.match(text, /Secure Renegotiation IS supported/);
    assert.match(text, /RENEGOTIATING[^]*no renegotiation/);
    assert.equal(text.match(/CONNECTED/g)?.length, 1);
    assert.doesNotMatch(text, SERVED);
  });

  test('early data is not offered, so that a client which has some sends none', async () => {
    const [session, early] = [join(folder, 'early.session'), join(folder, 'early.data')];
    await writeFile(early, 'GET /early HTTP/1.1\r\nHost: x\r\n\r\n');
    const first = await examine('-tls1_3', '-sess_out', session);
    assert.match(first, SERVED);
    assert.match(first, /Max Early Data: 0/);
    const second = await examine('-tls1_3', '-sess_in', session, '-early_data', early);
    assert.match(second, /Early data was not sent/);
    assert.match(second, SERVED);
  });

  for (const version of ['-tls1_2', '-tls1_3']) {
    test(`a session resumes by its ticket for half an hour, not without one, and not at a proxy with other keys (${version})`, async () => {
      const session = join(folder, `session${version}`);
      const full = await examine(version, '-sess_out', session);
      assert.match(full, /New, TLSv1/);
      assert.match(full, /ticket lifetime hint: (?:1800|1799) \(seconds\)/);
      const resumed = await examine(version, '-sess_in', session);
      assert.match(resumed, /Reused, TLSv1/);
      assert.match(resumed, SERVED);
      const bare = join(folder, `bare${version}`);
      await examine(version, '-no_ticket', '-sess_out', bare);
      // In TLS 1.3 the session is what the tickets carry: without any, there is no file.
      if (version === '-tls1_2') assert.match(await examine(version, '-no_ticket', '-sess_in', bare), /New, TLSv1/);
      await using other = new ProxyLab(ORDERS, lab.authority);
      const origin = await other.origin();
      await other.apply({ inbound: [inboundTo(origin.port, 'enforce')] });
      const elsewhere = await sClient(other.portOf(0), [...credentials, version, '-sess_in', session]);
      assert.match(elsewhere, /New, TLSv1/, 'another proxy has other keys');
      assert.match(elsewhere, SERVED);
    });
  }

  test('whatever name is asked for, the one certificate is shown, and a call for another host is sent away', async () => {
    assert.match(await named('orders.example', 'orders.example'), SERVED);
    assert.match(await named('evil.example', 'orders.example'), /HTTP\/1\.1 421 /);
    const verified = await examine('-servername', 'evil.example', '-verify_hostname', 'evil.example', '-verify_return_error');
    assert.doesNotMatch(verified, SERVED);
  });
});

function named(sni: string, host: string): Promise<string> {
  return sClient(lab.portOf(0), [...credentials, '-servername', sni], `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
}

/** `R` at the start of a line is a command of s_client. */
function renegotiate(): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const client = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${lab.portOf(0)}`, '-tls1_2', ...credentials], { timeout: 20_000 });
  let text = '';
  let isAsked = false;
  const read = (chunk: Buffer): void => {
    text += chunk.toString('latin1');
    if (isAsked || !/Extended master secret/.test(text)) return;
    isAsked = true;
    client.stdin.write('R\n');
  };
  client.stdout.on('data', read);
  client.stderr.on('data', read);
  client.stdin.on('error', () => {});
  client.once('close', () => resolve(text));
  return promise;
}

test('Node as a client agrees on the hybrid group first, and on X25519 where it has no better', async () => {
  for (const [groups, expected] of [
    [undefined, 'X25519MLKEM768'],
    ['X25519MLKEM768', 'X25519MLKEM768'],
    ['X25519:P-256', 'X25519'],
  ] as const) {
    const options = { ...clientOptions(caller), rejectUnauthorized: false, ...(groups === undefined ? {} : { ecdhCurve: groups }) };
    const socket = connect({ host: '127.0.0.1', port: lab.portOf(0), ...options });
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
    assert.equal((socket.getEphemeralKeyInfo() as { readonly name?: string }).name, expected);
    socket.destroy();
  }
});
