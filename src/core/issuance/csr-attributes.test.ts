import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildCsrAttributes } from './csr-attributes.ts';
import { profiles } from './profile.ts';

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex');
// SEQUENCE { extensionTemplate, SET { SEQUENCE { SEQUENCE { subjectAltName } } } } (RFC 9908 section 3.4)
const names = `3018060b2a864886f70d010910023e3109300730050603551d11`;

test('a template asks for names, and leaves the kind of the key to the client where it has a choice', () => {
  const template = `301f020100a11a${names}`;
  assert.equal(hex(buildCsrAttributes(profiles.server, false)), `30323030060b2a864886f70d010910023d3121${template}`);
});

test('the one kind of key that is allowed stands in it', () => {
  const p384 = '301006072a8648ce3d020106052b81040022';
  const keys = { curves: ['P-384'], ed25519: false, rsaBits: null } as const;
  assert.ok(hex(buildCsrAttributes({ keys }, false)).includes(`020100a012${p384}a11a`));
  const rsa = { curves: [], ed25519: false, rsaBits: { min: 2_048, max: 4_096 } } as const;
  assert.ok(hex(buildCsrAttributes({ keys: rsa }, false)).includes('020100a00f300d06092a864886f70d0101010500a11a'));
});

test('where requests have to be bound, the word for it comes first', () => {
  assert.match(hex(buildCsrAttributes(profiles.server, true)), /^303d06092a864886f70d0109073030/);
});
