import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AcmeFailure } from './acme-failure.ts';
import { readAuthorization } from './acme-resources.ts';

const ORIGIN = 'https://ca.example';
const read = (identifier: unknown) => readAuthorization({ status: 'valid', identifier, challenges: [] }, ORIGIN).identifier;

test('readAuthorization() reads names and addresses, and puts off what is neither', () => {
  assert.deepEqual(read({ type: 'dns', value: 'www.acme.test' }), { type: 'dns', value: 'www.acme.test' });
  assert.deepEqual(read({ type: 'ip', value: '192.0.2.7' }), { type: 'ip', value: '192.0.2.7' });
  for (const identifier of [
    { type: 'dns', value: 'not a name' },
    { type: 'dns', value: '' },
    { type: 'ip', value: 'www.acme.test' },
    { type: 'ip', value: '192.0.2.7/24' },
    { type: 'email', value: 'a@acme.test' },
    { type: 'dns' },
    null,
  ])
    assert.throws(
      () => read(identifier),
      (error) => error instanceof AcmeFailure && error.kind === 'deferred',
      JSON.stringify(identifier),
    );
});
