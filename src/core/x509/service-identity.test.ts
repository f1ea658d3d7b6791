import assert from 'node:assert/strict';
import { test } from 'node:test';
import { certify, makeHolder } from '../../../test/support/make-certificate.ts';
import { parseDnsName } from '../identity/dns-name.ts';
import { parseIpAddress } from '../identity/ip-address.ts';
import type { Certificate } from './certificate.ts';
import { contextConstructed } from './der.ts';
import { constructed, encodeDer, explicit, oid, sequence, utf8String } from './der-writer.ts';
import type { SubjectAltNames } from './general-name.ts';
import { parseMailbox, readSmtpUtf8Mailbox } from './mailbox.ts';
import { buildName } from './name.ts';
import { oids } from './oid.ts';
import { presentsIdentity } from './service-identity.ts';

const [issuer, subject] = [makeHolder('Issuer'), makeHolder('api.acme.test')];
const presenting = (names: Partial<SubjectAltNames>): Certificate => certify(subject, issuer, false, { subjectAltNames: names });
const dns = (presented: string, wanted: string): boolean =>
  presentsIdentity(presenting({ dns: [presented] }), { kind: 'dns', name: parseDnsName(wanted) });
const email = (presented: string, wanted: string): boolean =>
  presentsIdentity(presenting({ email: [presented] }), { kind: 'email', mailbox: parseMailbox(wanted)! });
const uri = (presented: string, wanted: string): boolean =>
  presentsIdentity(presenting({ uri: [presented] }), { kind: 'uri', uri: wanted });

const otherName = (type: string, text: string): Uint8Array =>
  encodeDer(constructed(contextConstructed(0), [oid(type), explicit(0, utf8String(text))]));

test('DNS names match whole, or one label for a wildcard (RFC 9525 section 6.3)', () => {
  for (const [presented, wanted] of [
    ['api.acme.test', 'API.acme.test'],
    ['*.acme.test', 'api.acme.test'],
    ['*.ACME.test', 'api.acme.test'],
    ['xn--bcher-kva.test', 'xn--bcher-kva.test'],
  ] as const) {
    assert.ok(dns(presented, wanted), presented);
  }
  for (const [presented, wanted] of [
    ['*.acme.test', 'acme.test'],
    ['*.acme.test', 'a.b.acme.test'],
    ['a*.acme.test', 'api.acme.test'],
    ['*i.acme.test', 'api.acme.test'],
    ['api.*.test', 'api.acme.test'],
    ['*.*.test', 'api.acme.test'],
    ['*', 'test'],
    ['*.test', 'acme.test'],
    ['acme.test', 'api.acme.test'],
    ['api.acme.test.', 'api.acme.test'],
    ['.acme.test', 'api.acme.test'],
    ['api.acme.test ', 'api.acme.test'],
    ['xn--*.acme.test', 'xn--a.acme.test'],
  ] as const) {
    assert.ok(!dns(presented, wanted), presented);
  }
});

test('names are of one kind, and the common name is none (RFC 9525 section 2)', () => {
  const named = presenting({ uri: ['https://api.acme.test/'], email: ['a@api.acme.test'], dns: ['10.0.0.1'] });
  assert.ok(!presentsIdentity(named, { kind: 'dns', name: parseDnsName('api.acme.test') }));
  assert.ok(!presentsIdentity(named, { kind: 'ip', address: parseIpAddress('10.0.0.1') }));
  assert.ok(
    presentsIdentity(presenting({ ip: [parseIpAddress('2001:DB8:0::1')] }), { kind: 'ip', address: parseIpAddress('2001:db8::1') }),
  );
  assert.ok(
    !presentsIdentity(presenting({ ip: [parseIpAddress('::ffff:10.0.0.1')] }), { kind: 'ip', address: parseIpAddress('10.0.0.1') }),
  );
});

test('mailboxes: the host without regard to case, the local part with it (RFC 5280 section 7.5)', () => {
  assert.ok(email('Ada@ACME.test', 'Ada@acme.test'));
  assert.ok(email('"a b"@acme.test', '"a b"@acme.test'));
  assert.ok(!email('ada@acme.test', 'Ada@acme.test'));
  assert.ok(!email('ada@b.acme.test', 'ada@acme.test'));
  for (const text of [
    'acme.test',
    '@acme.test',
    'a@',
    'a@b@acme.test',
    'a..b@acme.test',
    '.a@acme.test',
    'a b@acme.test',
    'a@[10.0.0.1]',
    'ä@acme.test',
  ])
    assert.equal(parseMailbox(text), null, text);
});

test('a mail address in the subject is not looked at', () => {
  const holder = { name: buildName([[oids.emailAddress, 'ada@acme.test']]), key: subject.key };
  assert.ok(!presentsIdentity(certify(holder, issuer, false), { kind: 'email', mailbox: parseMailbox('ada@acme.test')! }));
});

test('an internationalized mailbox is an otherName of its own type (RFC 9598 section 3)', () => {
  assert.equal(readSmtpUtf8Mailbox(otherName('1.3.6.1.5.5.7.8.9', 'ä@acme.test')), 'ä@acme.test');
  assert.equal(readSmtpUtf8Mailbox(otherName('1.3.6.1.5.5.7.8.5', 'ä@acme.test')), null);
  assert.equal(readSmtpUtf8Mailbox(encodeDer(sequence())), '', 'malformed: no mailbox');
  assert.deepEqual(parseMailbox('ä@acme.test', true), { local: 'ä', host: 'acme.test' });
  assert.equal(parseMailbox('a@äcme.test', true), null, 'the host has A-labels');
});

test('URIs are equal once scheme and host are in lower case (RFC 5280 section 7.4)', () => {
  assert.ok(uri('SPIFFE://Acme.Test/a/B', 'spiffe://acme.test/a/B'));
  assert.ok(!uri('spiffe://acme.test/a/b', 'spiffe://acme.test/a/B'));
  assert.ok(!uri('spiffe://acme.test/a', 'spiffe://acme.test/a/'));
  assert.ok(!uri('https://Ada@acme.test/', 'https://ada@acme.test/'));
  assert.ok(!uri('acme.test', 'acme.test'), 'not absolute');
});
