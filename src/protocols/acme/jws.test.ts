import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseJwk } from './jwk.ts';
import { parseJws, verifyJws } from './jws.ts';
import { AcmeProblem } from './problems.ts';

const encode = (value: unknown): string => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const pairs = {
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  EdDSA: generateKeyPairSync('ed25519'),
  RS256: generateKeyPairSync('rsa', { modulusLength: 2_048 }),
};
const publicJwk = (key: KeyObject): { [name: string]: unknown } => key.export({ format: 'jwk' }) as { [name: string]: unknown };
const ecJwk = publicJwk(pairs.ES256.publicKey);
const header = { alg: 'ES256', jwk: ecJwk, nonce: 'bm9uY2U', url: 'https://ca.example/acme/new-order' };

function signed(alg: keyof typeof pairs, change: { readonly [name: string]: unknown } = {}, payload: unknown = {}) {
  const { privateKey, publicKey } = pairs[alg];
  const head = encode({ ...header, alg, jwk: publicJwk(publicKey), ...change });
  const body = payload === null ? '' : encode(payload);
  const hash = alg === 'EdDSA' ? null : alg === 'ES384' ? 'sha384' : 'sha256';
  const signature = sign(hash, Buffer.from(`${head}.${body}`), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return { protected: head, payload: body, signature: signature.toString('base64url') };
}

const refusal = (type: AcmeProblem['type']) => (error: unknown) => error instanceof AcmeProblem && error.type === type;

test('a flattened JWS of each algorithm is parsed and verified; an empty payload is POST-as-GET', () => {
  for (const alg of Object.keys(pairs) as (keyof typeof pairs)[]) {
    const jws = parseJws(signed(alg, {}, { a: 1 }));
    assert.ok(jws.signer.kind === 'jwk');
    verifyJws(jws, jws.signer.key);
    assert.deepEqual(jws.payload, { a: 1 });
    assert.equal(parseJws(signed(alg, {}, null)).payload, null);
  }
  const { jwk: _, ...bare } = header;
  const kid = { ...signed('ES256'), protected: encode({ ...bare, kid: 'https://ca.example/acme/account/1' }) };
  assert.deepEqual(parseJws(kid).signer, { kind: 'kid', kid: 'https://ca.example/acme/account/1' });
});

test('parseJws() refuses every form but the flattened one with one named key', () => {
  const good = signed('ES256');
  const { url: _url, ...noUrl } = header;
  const { alg: _alg, ...noAlg } = header;
  const { jwk: _jwk, ...noKey } = header;
  const cases: readonly (readonly [string, unknown])[] = [
    ['null', null],
    ['text', 'a.b.c'],
    ['a list', [good]],
    ['an unprotected header', { ...good, header: {} }],
    ['several signatures', { ...good, signatures: [] }],
    ['no payload', { protected: good.protected, signature: good.signature }],
    ['no signature', { ...good, signature: '' }],
    ['a padded signature', { ...good, signature: `${good.signature}==` }],
    ['a padded header', { ...good, protected: `${encode('{"a": 1}')}=` }],
    ['a header of plain base64', { ...good, protected: Buffer.from('{"k":"~~~???"}').toString('base64') }],
    ['a header that is no JSON', { ...good, protected: encode('{') }],
    ['a header that is a list', { ...good, protected: encode([]) }],
    ['a payload that is a list', signed('ES256', {}, [])],
    ['a payload that is null', signed('ES256', {}, 'null')],
    ['a payload that is a number', signed('ES256', {}, '1')],
    ['crit', signed('ES256', { crit: ['exp'] })],
    ['b64', signed('ES256', { b64: false })],
    ['jwk and kid', signed('ES256', { kid: 'x' })],
    ['no url', { ...good, protected: encode(noUrl) }],
    ['no alg', { ...good, protected: encode(noAlg) }],
    ['neither jwk nor kid', { ...good, protected: encode(noKey) }],
    ['a url that is no text', signed('ES256', { url: 1 })],
    ['a nonce that is no text', signed('ES256', { nonce: 1 })],
    ['a kid that is no text', { ...good, protected: encode({ ...noKey, kid: 1 }) }],
  ];
  for (const [name, value] of cases) assert.throws(() => parseJws(value), refusal('malformed'), name);
});

test('parseJws() refuses MACs, none, and algorithms that do not fit the key, and lists what would do', () => {
  const mac = { ...signed('ES256', { alg: 'HS256' }), signature: createHmac('sha256', 'x').update('y').digest('base64url') };
  for (const value of [mac, signed('ES256', { alg: 'none' }), signed('ES256', { alg: 'ES512' }), signed('ES256', { alg: 'RS256' })]) {
    assert.throws(
      () => parseJws(value),
      (error) => refusal('badSignatureAlgorithm')(error) && Array.isArray((error as AcmeProblem).options.members?.['algorithms']),
    );
  }
});

test('parseJwk() refuses private, weak, odd and broken keys', () => {
  const rsa = publicJwk(pairs.RS256.publicKey);
  const cases: readonly (readonly [string, unknown])[] = [
    ['null', null],
    ['a list', []],
    ['no kind', {}],
    ['a symmetric key', { kty: 'oct', k: 'AAAA' }],
    ['a private key', publicJwk(pairs.ES256.privateKey)],
    ['a private RSA key', publicJwk(pairs.RS256.privateKey)],
    ['RSA 1024', publicJwk(generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey)],
    ['RSA of exponent 3', { ...rsa, e: 'Aw' }],
    ['RSA of an even exponent', { ...rsa, e: 'AQAA' }],
    ['RSA with a leading zero', { ...rsa, n: `AA${String(rsa['n'])}` }],
    ['secp256k1', publicJwk(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey)],
    ['P-521', publicJwk(generateKeyPairSync('ec', { namedCurve: 'P-521' }).publicKey)],
    ['X25519', publicJwk(generateKeyPairSync('x25519').publicKey)],
    ['Ed448', publicJwk(generateKeyPairSync('ed448').publicKey)],
    ['a point off its curve', { ...ecJwk, y: ecJwk['x'] }],
    ['a short coordinate', { ...ecJwk, x: 'AAAA' }],
    ['a padded coordinate', { ...ecJwk, x: `${String(ecJwk['x'])}=` }],
    ['a member that is no text', { ...ecJwk, x: 1 }],
    ['a curve of the prototype', { ...ecJwk, crv: 'constructor' }],
  ];
  for (const [name, value] of cases) assert.throws(() => parseJwk(value), refusal('badPublicKey'), name);
});

test('verifyJws() refuses a changed header, payload or signature, another key, and a DER signature', () => {
  const jws = signed('ES256', {}, { a: 1 });
  const other = parseJwk(publicJwk(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey));
  const mine = parseJwk(ecJwk);
  const der = sign('sha256', Buffer.from(`${jws.protected}.${jws.payload}`), pairs.ES256.privateKey).toString('base64url');
  assert.throws(() => verifyJws(parseJws(jws), other), refusal('malformed'));
  assert.throws(() => verifyJws(parseJws({ ...jws, payload: encode({ a: 2 }) }), mine), refusal('malformed'));
  assert.throws(
    () => verifyJws(parseJws({ ...jws, protected: signed('ES256', { url: 'https://evil.example/' }).protected }), mine),
    refusal('malformed'),
  );
  assert.throws(() => verifyJws(parseJws({ ...jws, signature: der }), mine), refusal('malformed'));
  assert.throws(() => verifyJws(parseJws({ ...jws, signature: Buffer.alloc(64).toString('base64url') }), mine), refusal('malformed'));
  assert.throws(() => verifyJws(parseJws(jws), parseJwk(publicJwk(pairs.EdDSA.publicKey))), refusal('badSignatureAlgorithm'));
});

/** True if the value is parsed or refused in the words of ACME. */
function tried(value: unknown): boolean {
  try {
    parseJws(value);
    return true;
  } catch (error) {
    return error instanceof AcmeProblem && error.status < 500;
  }
}

test('no JSON and no JWS of any shape does anything but parse or be refused', () => {
  fc.assert(fc.property(fc.jsonValue(), tried), { numRuns: 300 });
  const part = fc.oneof(fc.string(), fc.jsonValue().map(encode), fc.base64String(), fc.jsonValue());
  fc.assert(fc.property(fc.record({ protected: part, payload: part, signature: part }), tried), { numRuns: 500 });
  const member = fc.oneof(fc.jsonValue(), fc.constantFrom('ES256', 'RS256', 'EC', 'P-256', ecJwk, String(ecJwk['x'])));
  const jwk = fc.record({ kty: member, crv: member, x: member, y: member, n: member, e: member }, { requiredKeys: [] });
  const head = fc.record({ alg: member, jwk, kid: member, url: member, nonce: member }, { requiredKeys: [] });
  fc.assert(
    fc.property(head, fc.jsonValue(), (head, payload) => tried({ protected: encode(head), payload: encode(payload), signature: 'AAAA' })),
    { numRuns: 1_000 },
  );
});
