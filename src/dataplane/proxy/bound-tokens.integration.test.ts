import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { test } from 'node:test';
import { type JWTPayload, SignJWT } from 'jose';
import { Outcome, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { callOverTls, clientOptions, inboundTo, modes, ProxyLab, STOREFRONT } from '../../../test/support/proxy-lab.ts';
import type { TestCredential } from '../../../test/support/test-authority.ts';

const ISSUER = 'https://login.acme.example';
const AUDIENCE = 'https://orders.acme.example';
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const KEY = { ...publicKey.export({ format: 'jwk' }), kid: 'first' };

async function openLab(mode: keyof typeof modes = 'enforce') {
  const lab = new ProxyLab();
  const origin = await lab.origin();
  const boundTokens = { issuer: ISSUER, audiences: [AUDIENCE], keys: [JSON.stringify(KEY)] };
  assert.deepEqual(await lab.apply({ inbound: [inboundTo(origin.port, mode, { boundTokens })] }), { kind: 'accepted' });
  return { lab, origin, credential: lab.authority.issue({ uris: [STOREFRONT] }) };
}

const thumbprint = ({ certificate }: TestCredential): string => createHash('sha256').update(certificate.der).digest('base64url');
const seconds = (): number => Math.floor(Date.now() / 1_000);
const claimsFor = (credential: TestCredential) => ({
  iss: ISSUER,
  aud: AUDIENCE,
  exp: seconds() + 300,
  cnf: { 'x5t#S256': thumbprint(credential) },
});

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

type Signing = { readonly key?: KeyObject | Uint8Array; readonly header?: object };

function sign(claims: object, { key = privateKey, header = {} }: Signing = {}): Promise<string> {
  return new SignJWT(claims as JWTPayload).setProtectedHeader({ alg: 'ES256', kid: 'first', ...header }).sign(key as KeyObject);
}

const request = (authorization: string | null): string =>
  `GET / HTTP/1.1\r\nHost: orders\r\n${authorization === null ? '' : `Authorization: ${authorization}\r\n`}Connection: close\r\n\r\n`;

function http2Answer(lab: ProxyLab, credential: TestCredential, authorization: string | null): Promise<IncomingHttpHeaders> {
  const session = connectHttp2(`https://127.0.0.1:${lab.portOf(0)}`, { rejectUnauthorized: false, ...clientOptions(credential) });
  session.on('error', () => {});
  lab.onClose(() => session.destroy());
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': '/', ':authority': 'orders', ...(authorization === null ? {} : { authorization }) });
    stream.on('response', resolve).on('error', reject).resume();
  });
}

test('a token that is bound to the certificate of the connection is taken, again and again, and reaches the service', async () => {
  const { lab, origin, credential } = await openLab();
  await using _ = lab;
  const token = await sign(
    { ...claimsFor(credential), aud: ['https://other.example', AUDIENCE], nbf: seconds() - 5 },
    { header: { typ: 'at+jwt' } },
  );
  for (const scheme of ['Bearer', 'bearer']) {
    assert.match((await callOverTls(lab.portOf(0), clientOptions(credential), request(`${scheme} ${token}`))).text, /^HTTP\/1\.1 200 /);
  }
  assert.equal((await http2Answer(lab, credential, `Bearer ${token}`))[':status'], 200);
  assert.ok(origin.requests.every(({ rawHeaders }) => rawHeaders.some((text) => text.endsWith(token))));
  assert.equal(lab.refusals().length, 0);
});

const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
type Bad = {
  readonly name: string;
  readonly detail: string;
  readonly make: (credential: TestCredential, lab: ProxyLab) => Promise<string | null>;
};
const changed = (detail: string, name: string, change: object): Bad => ({
  name,
  detail,
  make: async (credential) => `Bearer ${await sign({ ...claimsFor(credential), ...change })}`,
});
const signed = (detail: string, name: string, signing: Signing): Bad => ({
  name,
  detail,
  make: async (credential) => `Bearer ${await sign(claimsFor(credential), signing)}`,
});

const bad: readonly Bad[] = [
  { name: 'no token', detail: 'no token', make: async () => null },
  { name: 'another scheme', detail: 'another scheme than Bearer', make: async () => 'Basic YTpi' },
  { name: 'a text that is no token', detail: 'no signed token in compact form', make: async () => 'Bearer abc' },
  {
    name: 'two tokens in one field',
    detail: 'another scheme than Bearer',
    make: async (credential) => `Bearer ${await sign(claimsFor(credential))} x`,
  },
  {
    name: 'the token of another certificate of the same identity',
    detail: 'a token of another certificate',
    make: async (_credential, lab) => `Bearer ${await sign(claimsFor(lab.authority.issue({ uris: [STOREFRONT] })))}`,
  },
  changed('not bound to a certificate', 'a token that is bound to nothing', { cnf: undefined }),
  changed('not bound to a certificate', 'a token that is bound to a key', { cnf: { jkt: 'x'.repeat(43) } }),
  changed('not bound to a certificate', 'a thumbprint that is none', { cnf: { 'x5t#S256': 'x'.repeat(42) } }),
  changed('another issuer', 'a token of another issuer', { iss: `${ISSUER}/` }),
  changed('another audience', 'a token for another audience', { aud: ['https://other.example'] }),
  changed('another audience', 'a token for nobody', { aud: undefined }),
  changed('a token past its end', 'a token past its end', { exp: seconds() - 60 }),
  changed('no end', 'a token without an end', { exp: undefined }),
  changed('a token before its beginning', 'a token before its beginning', { nbf: seconds() + 120 }),
  signed('no signature of a known key', 'a token of another key with the same name', { key: other }),
  signed('no signature of a known key', 'a token of a key with another name', { header: { kid: 'second' } }),
  signed('no signature of a known key', 'a token that is signed with the public key as a secret', {
    key: Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })),
    header: { alg: 'HS256' },
  }),
  signed('another type of token', 'an ID token by its type', { header: { typ: 'secevent+jwt' } }),
  {
    name: 'a token without a signature',
    detail: 'no signed token in compact form',
    async make(credential) {
      return `Bearer ${part({ alg: 'none' })}.${part(claimsFor(credential))}.`;
    },
  },
  {
    name: 'a token whose claims were changed',
    detail: 'no signature of a known key',
    async make(credential) {
      const [header, , signature] = (await sign({ ...claimsFor(credential), exp: seconds() - 60 })).split('.');
      return `Bearer ${header}.${Buffer.from(JSON.stringify(claimsFor(credential))).toString('base64url')}.${signature}`;
    },
  },
];

for (const { name, detail, make } of bad) {
  test(`enforce answers ${name} with 401 over HTTP/1.1 and HTTP/2, and says why in the log alone`, async () => {
    const { lab, origin, credential } = await openLab();
    await using _ = lab;
    const authorization = await make(credential, lab);
    const challenge = authorization === null ? 'Bearer' : 'Bearer error="invalid_token"';
    const { text } = await callOverTls(lab.portOf(0), clientOptions(credential), request(authorization));
    assert.match(text, /^HTTP\/1\.1 401 Unauthorized\r\n/);
    assert.equal(/^WWW-Authenticate: (.*)\r$/m.exec(text)?.[1], challenge);
    const answer = await http2Answer(lab, credential, authorization);
    assert.deepEqual([answer[':status'], answer['www-authenticate']], [401, challenge]);
    assert.equal(origin.octets, 0);
    assert.deepEqual(
      lab.refusals().map(({ reason }) => reason),
      ['token', 'token'],
    );
    const lines = lab.log.filter(({ event }) => event === 'call refused');
    assert.deepEqual(
      lines.map(({ fields }) => fields['detail']),
      [detail, detail],
    );
    const secret = authorization?.split(' ')[1] ?? 'no token at all';
    assert.ok(secret.length < 20 || !JSON.stringify(lab.log).includes(secret), 'no token is logged');
  });
}

test('two authorization fields are no token, whichever of them is good', async () => {
  const { lab, origin, credential } = await openLab();
  await using _ = lab;
  const good = `Bearer ${await sign(claimsFor(credential))}`;
  for (const both of [`${good}\r\nAuthorization: Bearer x`, `Bearer x\r\nauthorization: ${good}`]) {
    assert.match((await callOverTls(lab.portOf(0), clientOptions(credential), request(both))).text, /^HTTP\/1\.1 401 /);
  }
  assert.equal(origin.octets, 0);
});

test('permissive serves a call without a token, and counts it', async () => {
  const { lab, credential } = await openLab('permissive');
  await using _ = lab;
  assert.match((await callOverTls(lab.portOf(0), clientOptions(credential), request(null))).text, /^HTTP\/1\.1 200 /);
  const calls = lab.proxy.takeReport().counts!.filter(({ unit }) => unit === Unit.CALL);
  assert.deepEqual(
    calls.map(({ outcome, reason }) => [outcome, reason]),
    [[Outcome.WOULD_REFUSE, 'token']],
  );
});
