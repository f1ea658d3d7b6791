import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { test } from 'node:test';
import { createServer } from 'node:tls';
import { startDnsServer } from '../../../test/support/dns-server.ts';
import { openssl, hasOpenssl, makeFiles } from '../../../test/support/openssl.ts';
import { readFile } from 'node:fs/promises';
import { makeNameResolver } from '../../platform/network/name-resolver.ts';
import { parseOutsidePolicy } from '../../platform/network/outside-policy.ts';
import type { Identifier } from './identifier.ts';
import type { KeyAuthorization } from './proof.ts';
import { checkCaa } from './check-caa.ts';
import { proveByDns } from './prove-by-dns.ts';
import { proveByHttp } from './prove-by-http.ts';
import { proveByTlsAlpn } from './prove-by-tls-alpn.ts';

const text = 'token.thumbprint';
const expected: KeyAuthorization = { text, sha256: createHash('sha256').update(text).digest() };
const digest = expected.sha256.toString('hex');
const skip = (await hasOpenssl()) ? false : 'no openssl here';

/** A certificate as OpenSSL makes it: subject alternative names and further extensions as it writes them. */
async function certify(names: string | null, identifier: string | null, signed: 'self' | 'other' = 'self') {
  await using files = await makeFiles();
  const [key, cert] = await Promise.all([files.write('key.pem', ''), files.write('cert.pem', '')]);
  const extensions = [names === null ? null : `subjectAltName=${names}`, identifier === null ? null : `1.3.6.1.5.5.7.1.31=${identifier}`];
  const added = extensions.flatMap((extension) => (extension === null ? [] : ['-addext', extension]));
  const base = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1', '-subj', '/CN=x'];
  const issuer: string[] = [];
  if (signed === 'other') {
    const [otherKey, otherCert] = await Promise.all([files.write('ca-key.pem', ''), files.write('ca.pem', '')]);
    assert.equal((await openssl([...base, '-keyout', otherKey, '-out', otherCert])).code, 0);
    issuer.push('-CA', otherCert, '-CAkey', otherKey);
  }
  const { code, output } = await openssl([...base, ...issuer, ...added, '-keyout', key, '-out', cert]);
  assert.equal(code, 0, output);
  return { key: await readFile(key), cert: await readFile(cert) };
}

const asked: string[] = [];

/** Sees the ClientHello: the client may be done before the server's side of the handshake is. */
function SNICallback(name: string, done: (error: null) => void): void {
  asked.push(name);
  done(null);
}

async function prove(
  identifier: Identifier,
  credentials: { readonly key: Buffer; readonly cert: Buffer },
  options: { readonly ALPNProtocols?: string[]; readonly maxVersion?: 'TLSv1.1' | 'TLSv1.2' } = {},
  six = identifier.value === '::1',
) {
  const server = createServer({ ALPNProtocols: ['acme-tls/1'], minVersion: 'TLSv1', SNICallback, ...credentials, ...options }, (socket) => {
    socket.on('error', () => {});
  }).listen(0, identifier.value === '::1' ? '::1' : '127.0.0.1');
  server.on('tlsClientError', () => {});
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const policy = parseOutsidePolicy([`127.0.0.0/8:${port}`, ...(six ? [`::1/128:${port}`] : [])], () => []);
  const proof = await proveByTlsAlpn({ resolver: makeNameResolver([]), policy, ports: { http: 80, tls: port } }, { identifier }, expected);
  server.close();
  return proof.kind === 'failed' ? `${proof.type}: ${proof.detail}` : proof.kind;
}

const dns = { type: 'dns', value: 'a.localhost' } as const;
const good = `critical,DER:0420${digest}`;

test('tls-alpn-01 is proven by a self-signed certificate of exactly the name that holds the digest', { skip }, async () => {
  assert.equal(await prove(dns, await certify('DNS:a.localhost', good)), 'proven');
  assert.equal(await prove(dns, await certify('DNS:A.localhost', good), { maxVersion: 'TLSv1.2' }), 'proven', 'TLS 1.2, capitals');
  assert.equal(await prove({ type: 'ip', value: '127.0.0.1' }, await certify('IP:127.0.0.1', good)), 'proven');
  assert.equal(asked.at(-1), '1.0.0.127.in-addr.arpa', 'RFC 8738 section 6');
  assert.equal(await prove({ type: 'ip', value: '::1' }, await certify('IP:::1', good)), 'proven');
  assert.equal(asked.at(-1), `1.${'0.'.repeat(31)}ip6.arpa`);
});

test('tls-alpn-01 is refused for every other certificate and protocol', { skip }, async () => {
  const cases: readonly (readonly [string, Awaited<ReturnType<typeof certify>>, RegExp])[] = [
    ['another name', await certify('DNS:b.localhost', good), /unauthorized: .*exactly the one name/],
    ['a second name', await certify('DNS:a.localhost,DNS:b.localhost', good), /exactly the one name/],
    ['an address besides', await certify('DNS:a.localhost,IP:127.0.0.1', good), /exactly the one name/],
    ['a wildcard', await certify('DNS:*.localhost', good), /exactly the one name/],
    ['no name', await certify(null, good), /exactly the one name/],
    ['no acmeIdentifier', await certify('DNS:a.localhost', null), /no critical acmeIdentifier/],
    ['one that is not critical', await certify('DNS:a.localhost', `DER:0420${digest}`), /no critical acmeIdentifier/],
    ['another digest', await certify('DNS:a.localhost', `critical,DER:0420${'00'.repeat(32)}`), /not the digest/],
    ['a bare digest', await certify('DNS:a.localhost', `critical,DER:${digest}`), /not the digest/],
    ['a digest with more', await certify('DNS:a.localhost', `critical,DER:0421${digest}00`), /not the digest/],
    ['a signature of another', await certify('DNS:a.localhost', good, 'other'), /not self-signed/],
  ];
  for (const [name, credentials, pattern] of cases) assert.match(await prove(dns, credentials), pattern, name);
  const fine = await certify('DNS:a.localhost', good);
  assert.match(await prove(dns, fine, { ALPNProtocols: ['http/1.1'] }), /^(tls|unauthorized)/, 'another protocol');
  assert.match(await prove(dns, fine, { ALPNProtocols: [] }), /did not agree to acme-tls\/1/, 'no protocol');
  assert.match(await prove(dns, fine, { maxVersion: 'TLSv1.1' }), /^tls: /, 'TLS 1.1');
  assert.match(await prove({ type: 'ip', value: '127.0.0.1' }, fine), /exactly the one name/, 'a name for an address');
  assert.match(await prove({ type: 'ip', value: '::1' }, fine, {}, false), /^connection: no address/, 'an address that the policy forbids');
});

test('tls-alpn-01 at a server that speaks no TLS, or hangs up, is a failure of tls', async () => {
  const server = createTcpServer((socket) => socket.end('220 smtp ready\r\n')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const policy = parseOutsidePolicy([`127.0.0.0/8:${port}`], () => []);
  const proof = await proveByTlsAlpn(
    { resolver: makeNameResolver([]), policy, ports: { http: 80, tls: port } },
    { identifier: dns },
    expected,
  );
  assert.ok(proof.kind === 'failed' && proof.type === 'tls');
  server.close();
});

test('http-01 of an IPv6 address is asked with brackets, of that address alone', async () => {
  const hosts: string[] = [];
  const server = createHttpServer((request, response) => {
    hosts.push(request.headers.host!);
    response.end(request.url === '/.well-known/acme-challenge/token' ? text : '');
  }).listen(0, '::1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const policy = parseOutsidePolicy([`::1/128:${port}`], () => []);
  const ask = (value: string, token: string) =>
    proveByHttp(
      { resolver: makeNameResolver([]), policy, ports: { http: port, tls: 443 } },
      { identifier: { type: 'ip', value }, token },
      expected,
    );
  assert.deepEqual(await ask('::1', 'token'), { kind: 'proven', address: '::1' });
  assert.deepEqual(hosts, [`[::1]:${port}`]);
  assert.partialDeepStrictEqual(await ask('::1', 'other'), { kind: 'failed', type: 'incorrectResponse' });
  assert.partialDeepStrictEqual(await ask('::2', 'token'), { kind: 'failed', type: 'connection' });
  server.close();
});

const txt = (value: string) => ({ type: 'TXT', text: value }) as const;

test('dns-01 is proven by one TXT record of several, and by nothing else', async () => {
  await using zone = await startDnsServer();
  const resolver = makeNameResolver([zone.address]);
  const answer = expected.sha256.toString('base64url');
  const prove = async (...records: Parameters<typeof zone.records.set>[1]) => {
    zone.records.set('_acme-challenge.dns.example', records);
    const proof = await proveByDns({ resolver }, { identifier: { type: 'dns', value: 'dns.example' } }, expected);
    return proof.kind === 'failed' ? proof.type : proof.kind;
  };
  assert.equal(await prove(txt('v=spf1 -all'), txt(answer)), 'proven');
  for (const wrong of [`${answer} `, `${answer}=`, `"${answer}"`, text, expected.sha256.toString('base64'), answer.toLowerCase(), '']) {
    assert.equal(await prove(txt(wrong)), 'unauthorized', wrong);
  }
  assert.equal(await prove(), 'unauthorized', 'no record');
  assert.equal(await prove({ type: 'fail' }), 'dns', 'SERVFAIL');
  zone.records.set('dns.example', [txt(answer)]);
  assert.equal(await prove(), 'unauthorized', 'at the name itself');
});

test('CAA whose answer is truncated is asked again over TCP, and forbids where it cannot be', async () => {
  await using zone = await startDnsServer();
  const resolver = makeNameResolver([zone.address]);
  const check = (identity: string) =>
    checkCaa(
      resolver,
      { name: 'www.caa.example', wildcard: false },
      { identities: [identity], accountUrl: 'https://ca.example/a', method: 'http-01' },
    );
  // As many as fill more than a datagram; the one that names the CA is last.
  const others = Array.from(
    { length: 40 },
    (_, at) => ({ type: 'CAA', flags: 0, tag: 'issue', value: `ca${at}.example; note=${'x'.repeat(30)}` }) as const,
  );
  zone.records.set('caa.example', [...others, { type: 'CAA', flags: 0, tag: 'issue', value: 'ca.example' }]);
  zone.records.set('www.caa.example', [{ type: 'A', address: '127.0.0.1' }]);
  zone.truncated.add('caa.example');
  assert.equal(await check('ca.example'), null);
  assert.ok(zone.askedByStream.includes('CAA caa.example'));
  assert.match((await check('other.example')) ?? '', /CAA of caa\.example does not permit/);
  zone.refuseStreams();
  assert.match((await check('ca.example')) ?? '', /CAA of caa\.example could not be asked/);
});
