import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { Problem } from '../problems/problem.ts';
import { buildCertificateRequest, parseCertificateRequest, type RequestFields } from '../x509/certificate-request.ts';
import { requestedNames, sameNames } from './requested-names.ts';

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const namesOf = (fields: RequestFields) => requestedNames(parseCertificateRequest(buildCertificateRequest(fields, privateKey)));

test('the alternative names are what is asked for, and a common name only where there are none', () => {
  const spiffeId = 'spiffe://acme.example/production/orders';
  const all = namesOf({ subjectCommonName: 'b.example', uris: [spiffeId], dnsNames: ['a.example'], ipAddresses: ['10.0.0.1'] });
  assert.deepEqual(all, { spiffeId, names: { dns: ['a.example'], ip: ['10.0.0.1'] } });
  assert.deepEqual(namesOf({ subjectCommonName: 'B.Example' }), { spiffeId: null, names: { dns: ['b.example'], ip: [] } });
  assert.deepEqual(namesOf({ subjectCommonName: '10.0.0.1' }), { spiffeId: null, names: { dns: [], ip: ['10.0.0.1'] } });
  assert.deepEqual(namesOf({ subjectCommonName: '2001:db8::1' }).names.ip, ['2001:db8::1']);
  assert.deepEqual(namesOf({}), { spiffeId: null, names: { dns: [], ip: [] } });
});

test('what is no name of ours is not taken for one', () => {
  const refused = [
    { uris: ['spiffe://acme.example/a/b', 'spiffe://acme.example/a/c'] },
    { uris: ['https://acme.example/'] },
    { subjectCommonName: '10.0.0.256' },
    { subjectCommonName: '1.2.3' },
    { subjectCommonName: 'a:b' },
  ];
  for (const fields of refused)
    assert.throws(
      () => namesOf(fields),
      (error) => error instanceof Problem && error.code === 'identity-malformed',
      JSON.stringify(fields),
    );
});

test('names are the same in whatever order and number, and not when one is missing', () => {
  const two = namesOf({ dnsNames: ['a.example', 'b.example'], ipAddresses: ['10.0.0.1'] });
  assert.ok(sameNames(two, namesOf({ dnsNames: ['b.example', 'a.example', 'a.example'], ipAddresses: ['10.0.0.1'] })));
  for (const other of [
    { dnsNames: ['a.example'] },
    { dnsNames: ['a.example', 'b.example'] },
    { dnsNames: ['a.example', 'c.example'], ipAddresses: ['10.0.0.1'] },
  ])
    assert.ok(!sameNames(two, namesOf(other)), JSON.stringify(other));
});
