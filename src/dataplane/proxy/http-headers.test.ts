import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { forwardRequestHeaders, forwardResponseHeaders, isIdentityHeader } from './http-headers.ts';

function forwarded(raw: readonly string[], stripIdentity = true): readonly string[] {
  const result = forwardRequestHeaders(raw, stripIdentity);
  assert.equal(result.kind, 'headers');
  return result.kind === 'headers' ? result.headers : [];
}

test('forwardRequestHeaders() keeps end-to-end fields in their order and spelling, repeated ones too', () => {
  const raw = ['Host', 'a', 'X-B', '1', 'x-b', '2', 'Cookie', 'c=d', 'Content-Length', '3'];
  assert.deepEqual(forwarded(raw), raw);
});

test('forwardRequestHeaders() drops the fields of this hop, and those that Connection names', () => {
  const raw = [
    'Connection',
    'close, X-Hop',
    'X-Hop',
    '1',
    'Keep-Alive',
    'timeout=1',
    'TE',
    'trailers',
    'Upgrade',
    'h2c',
    'Expect',
    '100-continue',
    'Host',
    'a',
  ];
  assert.deepEqual(forwarded(raw), ['Host', 'a']);
});

test('forwardRequestHeaders() lets Connection strip no credential and no length', () => {
  const raw = [
    'Connection',
    'authorization, host, content-length, cookie',
    'Authorization',
    't',
    'Host',
    'a',
    'Content-Length',
    '1',
    'Cookie',
    'b',
  ];
  assert.deepEqual(forwarded(raw), raw.slice(2));
});

test('forwardRequestHeaders() strips every spelling of an identity field, inbound only', () => {
  for (const name of [
    'X-Forwarded-Client-Cert',
    'x_forwarded_client_cert',
    'X-Forwarded_Client-Cert',
    'CLIENT-CERT',
    'client_cert',
    'Client-Cert-Chain',
    'client_cert_chain',
  ]) {
    assert.deepEqual(forwarded(['Host', 'a', name, 'forged']), ['Host', 'a'], name);
    assert.deepEqual(forwarded(['Host', 'a', name, 'own'], false), ['Host', 'a', name, 'own'], name);
  }
});

test('isIdentityHeader() leaves the neighbours alone', () => {
  for (const name of ['client-certificate', 'x-client-cert', 'client-cert-', 'x-forwarded-for', 'cookie'])
    assert.equal(isIdentityHeader(name), false, name);
});

for (const [name, raw] of [
  ['two hosts', ['Host', 'a', 'HOST', 'b']],
  ['an odd transfer coding', ['Host', 'a', 'Transfer-Encoding', 'gzip, chunked']],
  ['identity as a transfer coding', ['Host', 'a', 'Transfer-Encoding', 'identity']],
] as const) {
  test(`forwardRequestHeaders() refuses ${name}`, () => {
    assert.equal(forwardRequestHeaders(raw, true).kind, 'malformed');
  });
}

test('forwardResponseHeaders() drops the fields of the hop and keeps the rest', () => {
  const raw = [
    'Connection',
    'keep-alive, X-Hop',
    'X-Hop',
    '1',
    'Keep-Alive',
    'timeout=5',
    'Transfer-Encoding',
    'chunked',
    'Set-Cookie',
    'a',
    'Set-Cookie',
    'b',
  ];
  assert.deepEqual(forwardResponseHeaders(raw.map((text) => Buffer.from(text))), ['Set-Cookie', 'a', 'Set-Cookie', 'b']);
});

test('forwardRequestHeaders() never lets an identity field through, whatever else is there', () => {
  const name = fc.constantFrom('client-cert', 'Client_Cert', 'X-FORWARDED-CLIENT-CERT', 'client-cert_chain', 'X-A', 'Connection', 'Cookie');
  const value = fc.constantFrom('a', 'close', 'client-cert', 'cookie, x-a');
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 20 }), (pairs) => {
      const names = forwarded(pairs.flat()).filter((_, at) => at % 2 === 0);
      return !names.some((sent) => /cert/i.test(sent));
    }),
  );
});
