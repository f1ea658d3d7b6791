import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIpAddress } from '../identity/ip-address.ts';
import { noNames, type SubjectAltNames } from './general-name.ts';
import { breaksNameConstraints } from './match-name-constraints.ts';
import { buildName, type Name } from './name.ts';
import type { NameBase } from './name-constraints.ts';
import { oids } from './oid.ts';

const empty = buildName([]);
const named = (names: Partial<SubjectAltNames>, subject: Name = empty): { subject: Name; subjectAltNames: SubjectAltNames } => ({
  subject,
  subjectAltNames: { ...noNames, ...names },
});

type Names = Partial<SubjectAltNames> & { readonly subject?: Name };
const permits = (base: NameBase, { subject, ...names }: Names): boolean =>
  breaksNameConstraints(named(names, subject), { permitted: [base], excluded: [] }, { left: 100 }) === null;
const excludes = (base: NameBase, { subject, ...names }: Names): boolean =>
  breaksNameConstraints(named(names, subject), { permitted: [], excluded: [base] }, { left: 100 }) !== null;

const dns = (name: string): NameBase => ({ kind: 'dns', name });
const email = (mailbox: string): NameBase => ({ kind: 'email', mailbox });
const uri = (host: string): NameBase => ({ kind: 'uri', host });
const ip = (address: string, mask: string): NameBase => ({
  kind: 'ip',
  address: Buffer.from(address, 'hex'),
  mask: Buffer.from(mask, 'hex'),
});

const member = (organization: string): Name =>
  buildName([
    [oids.organization, organization],
    [oids.commonName, 'x'],
  ]);

test('DNS constraints: any labels may be added on the left (RFC 5280 section 4.2.1.10)', () => {
  for (const name of ['acme.test', 'a.acme.test', 'a.b.ACME.test', '*.acme.test', '*.a.acme.test', 'under_score.acme.test']) {
    assert.ok(permits(dns('acme.test'), { dns: [name] }), name);
    assert.ok(excludes(dns('Acme.Test'), { dns: [name] }), name);
  }
  for (const name of ['badacme.test', 'test', 'acme.test.evil', 'acme.tes', '*.test'])
    assert.ok(!permits(dns('acme.test'), { dns: [name] }), name);
  for (const name of ['badacme.test', 'test', 'acme.test.evil']) assert.ok(!excludes(dns('acme.test'), { dns: [name] }), name);
  assert.ok(permits(dns(''), { dns: ['anything.test'] }), 'the empty constraint is every name');
  assert.ok(excludes(dns(''), { dns: ['anything.test'] }));
});

test('a wildcard is excluded when one of the names that it stands for is', () => {
  assert.ok(excludes(dns('orders.acme.test'), { dns: ['*.acme.test'] }));
  assert.ok(!excludes(dns('a.orders.acme.test'), { dns: ['*.acme.test'] }), 'it stands for one label only');
  assert.ok(!permits(dns('orders.acme.test'), { dns: ['*.acme.test'] }));
});

test('names and constraints that cannot be read refuse instead of passing', () => {
  for (const name of ['', 'a..acme.test', '.acme.test', 'acme.test.', 'a b.acme.test', '*', '*.', 'a*.acme.test', 'a.*.acme.test']) {
    assert.ok(!permits(dns('acme.test'), { dns: [name] }), JSON.stringify(name));
    assert.ok(excludes(dns('other.test'), { dns: [name] }), JSON.stringify(name));
  }
  for (const base of [dns('.acme.test'), dns('*.acme.test'), uri('a/b'), email('@acme.test'), email('a@b@')]) {
    const names = { dns: ['a.acme.test'], uri: ['https://a.acme.test/'], email: ['a@acme.test'] };
    assert.ok(!permits(base, names), JSON.stringify(base));
    assert.ok(excludes(base, names), JSON.stringify(base));
  }
});

test('a constraint of one kind leaves names of other kinds alone, one that cannot be read too (RFC 5280 section 4.2.1.10)', () => {
  assert.ok(permits(dns('.acme.test'), { uri: ['https://a.acme.test/'], email: ['a@acme.test'] }));
  assert.ok(!excludes(uri('a/b'), { dns: ['a.acme.test'] }));
  assert.ok(permits(dns('acme.test'), { uri: ['spiffe://other.test/x'], ip: [parseIpAddress('10.0.0.1')], email: ['a@other.test'] }));
  assert.ok(permits(uri('acme.test'), { dns: ['other.test'] }));
});

test('an empty constraint stands for every name of its kind (RFC 5280 section 4.2.1.10)', () => {
  for (const [base, names] of [
    [dns(''), { dns: ['a.acme.test'] }],
    [uri(''), { uri: ['https://a.acme.test/'] }],
    [email(''), { email: ['a@acme.test'] }],
  ] as const) {
    assert.ok(permits(base, names), base.kind);
    assert.ok(excludes(base, names), base.kind);
  }
});

test('quotes do not make another mailbox (RFC 5321 section 4.1.2)', () => {
  for (const same of ['"ada"@acme.test', String.raw`"a\da"@acme.test`]) {
    assert.ok(permits(email('ada@acme.test'), { email: [same] }), same);
    assert.ok(excludes(email('ada@acme.test'), { email: [same] }), same);
  }
  assert.ok(excludes(email('"ada"@acme.test'), { email: ['ada@acme.test'] }));
  assert.ok(!permits(email('ada@acme.test'), { email: ['"Ada"@acme.test'] }), 'the local part keeps its case');
});

test('every name has to be permitted, and one excluded name is enough', () => {
  assert.ok(!permits(dns('acme.test'), { dns: ['a.acme.test', 'a.other.test'] }));
  assert.ok(excludes(dns('other.test'), { dns: ['a.acme.test', 'a.other.test'] }));
  const both = { permitted: [dns('acme.test')], excluded: [dns('secret.acme.test')] };
  assert.equal(breaksNameConstraints(named({ dns: ['a.acme.test'] }), both, { left: 9 }), null);
  assert.notEqual(breaksNameConstraints(named({ dns: ['a.secret.acme.test'] }), both, { left: 9 }), null);
});

test('URI constraints are about the host; a leading period means the hosts below', () => {
  for (const name of ['spiffe://acme.test/a', 'https://u:p@acme.test:8443/x', 'https://ACME.test', 'https://acme.test?q'])
    assert.ok(permits(uri('acme.test'), { uri: [name] }), name);
  for (const name of [
    'spiffe://a.acme.test/a',
    'spiffe://acme.test.evil/a',
    'https://evil/@acme.test',
    'https://evil?@acme.test',
    'https://evil#@acme.test/',
  ]) {
    assert.ok(!permits(uri('acme.test'), { uri: [name] }), name);
  }
  for (const name of ['urn:a:b', 'https://[::1]/', 'https://10.0.0.1/', 'mailto:a@acme.test', '//acme.test', 'https:///x', '']) {
    assert.ok(!permits(uri('acme.test'), { uri: [name] }), name);
    assert.ok(excludes(uri('other.test'), { uri: [name] }), name);
  }
  assert.ok(permits(uri('.acme.test'), { uri: ['https://a.acme.test/'] }));
  assert.ok(!permits(uri('.acme.test'), { uri: ['https://acme.test/'] }));
});

test('mail constraints name a mailbox, a host, or the hosts below one', () => {
  assert.ok(permits(email('a@acme.test'), { email: ['a@ACME.test'] }));
  assert.ok(!permits(email('a@acme.test'), { email: ['A@acme.test'] }), 'the local part keeps its case');
  assert.ok(permits(email('acme.test'), { email: ['b@acme.test'] }));
  assert.ok(!permits(email('acme.test'), { email: ['b@a.acme.test'] }));
  assert.ok(permits(email('.acme.test'), { email: ['b@a.acme.test'] }));
  assert.ok(!permits(email('.acme.test'), { email: ['b@acme.test'] }));
  for (const mailbox of ['acme.test', '@acme.test', 'a@', 'a@b c']) assert.ok(!permits(email('acme.test'), { email: [mailbox] }), mailbox);
});

test('mail addresses in the subject are constrained too', () => {
  const subject = buildName([[oids.emailAddress, 'a@other.test']]);
  assert.ok(!permits(email('acme.test'), { subject }));
  assert.ok(excludes(email('other.test'), { subject }));
});

test('address constraints compare under the mask and within one family', () => {
  const ten = ip('0a000000', 'ff000000');
  assert.ok(permits(ten, { ip: [parseIpAddress('10.255.0.1')] }));
  assert.ok(!permits(ten, { ip: [parseIpAddress('11.0.0.1')] }));
  assert.ok(!permits(ten, { ip: [parseIpAddress('::ffff:10.0.0.1')] }), 'IPv6 is not permitted by an IPv4 constraint');
  assert.ok(!excludes(ip('00000000', '00000000'), { ip: [parseIpAddress('::1')] }), 'excluding everything needs both families');
  assert.ok(excludes(ip('00'.repeat(16), '00'.repeat(16)), { ip: [parseIpAddress('::1')] }));
});

test('directory constraints compare whole leading parts', () => {
  const base: NameBase = { kind: 'directory', name: buildName([[oids.organization, 'Acme']]) };
  assert.ok(permits(base, { subject: member(' ACME ') }));
  assert.ok(!permits(base, { subject: member('Acme Inc') }));
  assert.ok(
    !permits(base, {
      subject: buildName([
        [oids.commonName, 'x'],
        [oids.organization, 'Acme'],
      ]),
    }),
  );
  assert.ok(!permits(base, { directory: [member('Other')] }), 'a directory name among the alternative names');
  assert.ok(permits(base, {}), 'an empty subject is no name');
});

test('a constraint of a kind that is not supported refuses names of that kind, and no others', () => {
  const registered: NameBase = { kind: 'other', number: 8 };
  const other = { number: 8, der: new Uint8Array() };
  assert.ok(!permits(registered, { other: [other] }));
  assert.ok(excludes(registered, { other: [other] }));
  assert.ok(permits(registered, { dns: ['a.test'], other: [{ ...other, number: 0 }] }));
});

test('the number of comparisons is bounded', () => {
  const bases = Array.from({ length: 1_000 }, (_, i) => dns(`h${i}.acme.test`));
  const names = Array.from({ length: 1_000 }, (_, i) => `x${i}.acme.test`);
  const budget = { left: 10_000 };
  assert.match(breaksNameConstraints(named({ dns: names }), { permitted: [], excluded: bases }, budget) ?? '', /limit/);
});
