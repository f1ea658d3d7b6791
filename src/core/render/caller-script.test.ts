import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { certify, makeHolder } from '../../../test/support/make-certificate.ts';
import { callerFunctions } from './caller-script.ts';
import { listFunctions } from './list-script.ts';

const source = `${callerFunctions}export { callerOf };`;
const { callerOf } = (await import(`data:text/javascript,${encodeURIComponent(source)}`)) as { callerOf(der: Uint8Array): string };

const issuer = makeHolder('Issuer');
const leafOf = (uris: readonly string[], dns: readonly string[] = []): Buffer =>
  Buffer.from(certify(makeHolder(null), issuer, false, { subjectAltNames: { dns, uri: uris } }).der);
const CALLER = 'spiffe://acme.example/production/orders';

test('a caller is the one URI of its certificate, whatever names stand beside it', () => {
  assert.equal(callerOf(leafOf([CALLER])), CALLER);
  assert.equal(callerOf(leafOf([CALLER], ['a.example', 'b.example'])), CALLER);
  assert.equal(callerOf(leafOf([], ['a.example'])), '');
  assert.equal(callerOf(leafOf([CALLER, `${CALLER}-2`])), '');
  assert.equal(callerOf(leafOf([`${CALLER}-2`, CALLER])), '');
});

test('a URI that is no SPIFFE ID in its one spelling is nobody, so that nothing is injected into what is told of it', () => {
  for (const uri of [
    'https://acme.example/a',
    `${CALLER}\n`,
    `${CALLER};By=x`,
    `${CALLER}"`,
    `${CALLER},x`,
    `${CALLER}/`,
    'spiffe://acme.example',
    'SPIFFE://acme.example/a',
    'spiffe://Acme.example/a',
    'spiffe://acme.example//a',
    `spiffe://acme.example/${'a'.repeat(2_048)}`,
  ]) {
    assert.equal(callerOf(leafOf([uri])), '', uri);
  }
});

test('what is cut, lengthened or changed never throws, and is nobody unless its extension says another name', () => {
  const der = leafOf([CALLER]);
  for (let length = 0; length < der.length; length += 1) assert.equal(callerOf(der.subarray(0, length)), '');
  assert.equal(callerOf(Buffer.from(CALLER)), '');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (octets) => {
      assert.equal(callerOf(octets), '');
    }),
  );
  fc.assert(
    fc.property(fc.integer({ min: 0, max: der.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const changed = Buffer.from(der);
      changed[at]! ^= change;
      const caller = callerOf(changed);
      assert.match(caller, /^$|^spiffe:\/\/[a-z0-9._-]+(?:\/[a-zA-Z0-9._-]+)+$/);
    }),
  );
});

test('lists are read by what stands in it and in the caller script alone', () => {
  assert.doesNotThrow(() => new Function('verify', 'lists', `${callerFunctions}${listFunctions}`));
});
