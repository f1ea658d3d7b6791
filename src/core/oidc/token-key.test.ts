import assert from 'node:assert/strict';
import { generateKeyPairSync, sign as signOctets } from 'node:crypto';
import { test } from 'node:test';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { openTokenKey, parseDeclaredKey } from './token-key.ts';
import { verifyAccessToken } from './verify-access-token.ts';

const claims = { iss: 'i', aud: 'a', exp: 2_000_000_000, cnf: { 'x5t#S256': 'A'.repeat(43) } };

for (const alg of ['ES256', 'ES384', 'EdDSA', 'RS256', 'PS256']) {
  test(`a token that jose signed with ${alg} verifies under the declared key, and no longer once an octet is changed`, async () => {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
    const key = openTokenKey(parseDeclaredKey({ ...(await exportJWK(publicKey)), alg, use: 'sig' }));
    assert.equal(key.algorithm, alg);
    const token = await new SignJWT(claims).setProtectedHeader({ alg }).sign(privateKey);
    const rules = { issuer: 'i', audiences: ['a'], keys: [key] };
    assert.equal(verifyAccessToken(token, rules).kind, 'token');
    const [header, payload, signature] = token.split('.') as [string, string, string];
    const flipped = signature.startsWith('A') ? `B${signature.slice(1)}` : `A${signature.slice(1)}`;
    assert.equal(verifyAccessToken(`${header}.${payload}.${flipped}`, rules).kind, 'bad');
  });
}

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const good = publicKey.export({ format: 'jwk' });
const weak = generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey.export({ format: 'jwk' });
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const make = (header: unknown, payload: unknown, dsaEncoding: 'der' | 'ieee-p1363' = 'ieee-p1363'): string => {
  const octets = `${part(header)}.${part(payload)}`;
  return `${octets}.${signOctets('sha256', Buffer.from(octets), { key: privateKey, dsaEncoding }).toString('base64url')}`;
};
const refused: readonly (readonly [string, unknown])[] = [
  ['a private key', privateKey.export({ format: 'jwk' })],
  ['a shared secret', { kty: 'oct', k: 'AAAA' }],
  ['RSA of 1024 bits', { ...weak, alg: 'RS256' }],
  ['RSA without its algorithm', weak],
  ['an algorithm of another kind of key', { ...good, alg: 'RS256' }],
  ['a curve that is not used', { ...good, crv: 'secp256k1' }],
  ['a point that is none', { ...good, x: 'AAAA' }],
  ['a member that is no text', { ...good, kid: 1 }],
  ['a list', [good]],
  ['nothing', null],
];

for (const [name, value] of refused) {
  test(`parseDeclaredKey() refuses ${name}`, () => {
    assert.throws(() => parseDeclaredKey(value), { code: 'input-invalid' });
  });
}

test('verifyAccessToken() refuses what has to be understood, a signature in DER, and parts that are no objects', () => {
  const rules = { issuer: 'i', audiences: ['a'], keys: [openTokenKey(good as never)] };
  assert.equal(verifyAccessToken(make({ alg: 'ES256' }, claims), rules).kind, 'token');
  for (const token of [
    make({ alg: 'ES256', crit: ['b64'], b64: false }, claims),
    make({ alg: 'ES256' }, claims, 'der'),
    make({ alg: ['ES256'] }, claims),
    make(['ES256'], claims),
    make({ alg: 'ES256' }, [claims]),
    make({ alg: 'ES256' }, { ...claims, exp: '2000000000' }),
    make({ alg: 'ES256' }, { ...claims, nbf: '0' }),
    make({ alg: 'ES256', typ: 5 }, claims),
    `${make({ alg: 'ES256' }, claims)}=`,
    `${make({ alg: 'ES256' }, { ...claims, padding: 'x'.repeat(20_000) })}`,
  ]) {
    assert.equal(verifyAccessToken(token, rules).kind, 'bad', token.slice(0, 60));
  }
});
