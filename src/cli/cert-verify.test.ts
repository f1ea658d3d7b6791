import assert from 'node:assert/strict';
import { test } from 'node:test';
import { certify, makeHolder, TEST_NOW } from '../../test/support/make-certificate.ts';
import { makeList } from '../../test/support/make-certificate-list.ts';
import type { Certificate } from '../core/x509/certificate.ts';
import { encodePem } from '../core/x509/pem.ts';
import { ParsedTexts } from './answer-verification.ts';
import { type BoundedLine, boundedLines } from './bounded-lines.ts';
import { answerLine } from './cert-verify.ts';

const [root, issuing, leaf] = [makeHolder('Root'), makeHolder('Issuing'), makeHolder('Leaf')];
const pem = ({ der }: Certificate): string => encodePem('CERTIFICATE', der);
const [rootPem, issuingPem] = [pem(certify(root, root, true)), pem(certify(issuing, root, true))];
const leafCertificate = certify(leaf, issuing, false, { subjectAltNames: { dns: ['api.acme.test'], email: ['Ada@acme.test'] } });
const line = { trusted: [rootPem], intermediates: [issuingPem], leaf: pem(leafCertificate), time: '2026-06-01T12:00:00Z' };
const list = (...revoked: Certificate[]): string =>
  encodePem('X509 CRL', makeList(issuing, { revoked: revoked.map((certificate) => ({ certificate })) }).der);
const parsed = new ParsedTexts();
const answer = (changes: object = {}): string => answerLine(JSON.stringify({ ...line, ...changes }), parsed, TEST_NOW);

test('a line is accepted, with every optional field absent, null or empty', () => {
  assert.equal(answer(), 'accept');
  assert.equal(answer({ time: undefined, name: null, maxDepth: null, policies: null, crls: null }), 'accept');
  assert.equal(answer({ extendedKeyUsage: [], keyUsage: [], crls: [], policies: {} }), 'accept');
  assert.equal(answer({ policies: { initial: ['anyPolicy'], explicit: false, inhibitMapping: true, inhibitAny: true } }), 'accept');
  assert.equal(answer({ trusted: `${rootPem}${issuingPem}`, intermediates: undefined, id: 7 }), 'accept', 'unknown fields are passed over');
});

test('fields may be spelled with underscores, names of usages in their usual ways', () => {
  assert.equal(answer({ extended_key_usage: ['serverAuth'], max_depth: 1 }), 'accept');
  assert.equal(answer({ extendedKeyUsage: ['1.3.6.1.5.5.7.3.1', 'id-kp-clientAuth'], keyUsage: ['digital_signature'] }), 'accept');
  assert.match(answer({ extendedKeyUsage: ['codeSigning'] }), /^reject wrong-usage: /);
  assert.match(answer({ keyUsage: ['contentCommitment'] }), /^reject wrong-usage: /);
  assert.match(answer({ maxDepth: 0 }), /^reject chain-invalid: /);
  assert.match(answer({ max_depth: 0, maxDepth: 1 }), /^reject malformed: /, 'twice');
});

test('time is ISO 8601 or seconds', () => {
  for (const time of [
    TEST_NOW / 1000,
    String(TEST_NOW / 1000),
    '2026-06-01 12:00',
    '2026-06-01T14:00:00+02:00',
    '2026-06-01T14:00:00.5+0200',
    '2026-06-01',
  ])
    assert.equal(answer({ time }), 'accept', String(time));
  assert.match(answer({ time: '2026-06-03T00:00:00Z' }), /^reject expired: /);
  assert.match(answer({ time: 0 }), /^reject not-yet-valid: /);
  for (const time of ['yesterday', '2026', '2026-13-01', {}, true, '12:00'])
    assert.match(answer({ time }), /^reject malformed: /, String(time));
});

test('names are looked at only when one is given', () => {
  assert.equal(answer({ name: { kind: 'dns', value: 'api.acme.test' } }), 'accept');
  assert.equal(answer({ name: { kind: 'DNS', value: 'API.acme.test.' } }), 'accept');
  assert.equal(answer({ name: { kind: 'rfc822', value: 'Ada@ACME.test' } }), 'accept');
  for (const [kind, value] of [
    ['dns', 'acme.test'],
    ['ip', '10.0.0.1'],
    ['email', 'ada@acme.test'],
    ['uri', 'spiffe://acme.test/a'],
  ] as const) {
    assert.match(answer({ name: { kind, value } }), /^reject wrong-identity: /, kind);
  }
  assert.match(
    answer({
      name: [
        { kind: 'dns', value: 'api.acme.test' },
        { kind: 'dns', value: 'b.acme.test' },
      ],
    }),
    /^reject wrong-identity: /,
  );
  for (const name of [
    { kind: 'dns', value: '' },
    { kind: 'dns', value: '*.acme.test' },
    { kind: 'ip', value: '010.0.0.1' },
    { kind: 'tel', value: '1' },
    { kind: 'dns' },
    'api',
  ])
    assert.match(answer({ name }), /^reject malformed: /, JSON.stringify(name));
});

test('certificates that cannot be parsed are as if they were not there; the leaf has to be one', () => {
  const broken = encodePem('CERTIFICATE', Uint8Array.of(0x30, 0));
  assert.equal(answer({ intermediates: [broken, issuingPem], trusted: [broken, rootPem] }), 'accept');
  assert.match(answer({ intermediates: [broken] }), /^reject unknown-authority: /);
  assert.match(answer({ trusted: [] }), /^reject unknown-authority: /);
  assert.match(answer({ trusted: ['no PEM'] }), /^reject malformed: /);
  for (const text of [broken, '', rootPem + issuingPem, 7, undefined, [line.leaf]])
    assert.match(answer({ leaf: text }), /^reject malformed: /);
});

test('lists that are given count, those that cannot be parsed as well', () => {
  const ofRoot = encodePem('X509 CRL', makeList(root).der);
  assert.equal(answer({ crls: [ofRoot, list()] }), 'accept');
  assert.match(answer({ crls: [ofRoot, list(leafCertificate)] }), /^reject revoked: /);
  assert.match(answer({ crls: [ofRoot] }), /^reject revocation-unknown: /);
  assert.match(answer({ crls: [encodePem('X509 CRL', Uint8Array.of(0x30, 0))] }), /^reject revocation-unknown: /);
  assert.match(answer({ crls: ['no PEM'] }), /^reject malformed: /);
});

test('policies are demanded as given', () => {
  assert.match(answer({ policies: { explicit: true } }), /^reject chain-invalid: /);
  assert.match(answer({ policies: { explicit: 1 } }), /^reject malformed: /);
  assert.match(answer({ policies: { initial: ['everything'] } }), /^reject malformed: /);
  assert.match(answer({ policies: [] }), /^reject malformed: /);
});

test('a line that is no request is answered and ends nothing', () => {
  for (const text of ['', ' ', '{', '[]', 'null', '7', '{}', '"x"', '{"leaf":{}}', null])
    assert.match(answerLine(text, parsed), /^reject malformed: /, String(text));
});

test('an answer is one line, whatever the certificates hold', () => {
  const odd = { ...leaf, name: makeHolder('a\nb\u001b[31m').name };
  const text = answer({ leaf: pem(certify(odd, odd, false)) });
  assert.match(text, /^reject [ -~]*$/);
});

test('lines are bounded, split anywhere, and the last needs no end', async () => {
  const chunks = ['ab', 'c\n\nde\r\n', 'x'.repeat(50), 'y\nf', 'g'].map((text) => Buffer.from(text));
  const lines: BoundedLine[] = [];
  for await (const batch of boundedLines(
    (async function* () {
      yield* chunks;
    })(),
    20,
  ))
    lines.push(...batch);
  assert.deepEqual(lines, ['abc', '', 'de', null, 'fg']);
});
