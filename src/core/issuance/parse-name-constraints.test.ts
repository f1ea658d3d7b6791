import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIpAddress } from '../identity/ip-address.ts';
import { Problem } from '../problems/problem.ts';
import { encodeDer } from '../x509/der-writer.ts';
import { DerReader } from '../x509/der.ts';
import { noNames, type SubjectAltNames } from '../x509/general-name.ts';
import { breaksNameConstraints } from '../x509/match-name-constraints.ts';
import { buildName } from '../x509/name.ts';
import { nameConstraintsNode, readNameConstraints } from '../x509/name-constraints.ts';
import { parseNameConstraints } from './parse-name-constraints.ts';

test('parseNameConstraints() refuses what is no subtree', () => {
  for (const text of [
    '',
    'acme.test',
    'dns:',
    'dns:.acme.test',
    'dns:*.acme.test',
    'ip:10.0.0.1/8',
    'ip:10.0.0.0/33',
    'ip:x',
    'uri:spiffe://a/',
    'email:a@b.test',
  ])
    assert.throws(
      () => parseNameConstraints([text], []),
      (error) => error instanceof Problem && error.code === 'input-invalid',
      text,
    );
  const many = Array.from({ length: 101 }, (_, i) => `dns:n${i}.test`);
  assert.throws(() => parseNameConstraints(many, []), Problem);
  assert.equal(parseNameConstraints([], []), null);
});

test('what is read is written and read back, and refuses the names outside of it', () => {
  const given = parseNameConstraints(['dns:acme.test', 'ip:10.0.0.0/9', 'uri:acme.test'], ['dns:secret.acme.test', 'ip:10.1.0.0/16'])!;
  const constraints = readNameConstraints(DerReader.over(encodeDer(nameConstraintsNode(given))));
  const broken = (names: Partial<SubjectAltNames>): boolean =>
    breaksNameConstraints({ subject: buildName([]), subjectAltNames: { ...noNames, ...names } }, constraints, { left: 1_000 }) !== null;
  for (const name of ['evil.test', 'notacme.test', 'secret.acme.test', 'x.secret.acme.test']) assert.ok(broken({ dns: [name] }), name);
  for (const address of ['11.0.0.1', '10.1.2.3', '10.128.0.0', '::1']) assert.ok(broken({ ip: [parseIpAddress(address)] }), address);
  for (const uri of ['spiffe://evil.test/x', 'spiffe://sub.acme.test/x', 'urn:x']) assert.ok(broken({ uri: [uri] }), uri);
  assert.ok(!broken({ dns: ['a.acme.test'], ip: [parseIpAddress('10.2.0.1')], uri: ['spiffe://acme.test/production/orders'] }));
});

const written = (...excluded: readonly string[]): Uint8Array => encodeDer(nameConstraintsNode(parseNameConstraints([], excluded)!));
const refuses = (der: Uint8Array, address: string): boolean =>
  breaksNameConstraints(
    { subject: buildName([]), subjectAltNames: { ...noNames, dns: ['a.test'], ip: [parseIpAddress(address)] } },
    readNameConstraints(DerReader.over(der)),
    { left: 1_000 },
  ) !== null;

test('all addresses are excluded by 0.0.0.0/0 and ::/0, octet by octet; each is of its own family only', () => {
  const [four, six] = [`300a8708${'00'.repeat(8)}`, `30228720${'00'.repeat(32)}`];
  assert.equal(Buffer.from(written('ip:0.0.0.0/0', 'ip:::/0')).toString('hex'), `3032a130${four}${six}`);
  for (const [family, addresses] of [
    ['ip:0.0.0.0/0', ['0.0.0.0', '10.0.0.1', '255.255.255.255']],
    ['ip:::/0', ['::', '2001:db8::1', 'ffff::']],
  ] as const) {
    const other = family === 'ip:::/0' ? 'ip:0.0.0.0/0' : 'ip:::/0';
    for (const address of addresses) {
      assert.ok(refuses(written(family), address), address);
      assert.ok(refuses(written(family, other), address), address);
      assert.ok(!refuses(written(other), address), `${address} under ${other}`);
    }
  }
});
