import assert from 'node:assert/strict';
import { createHash, sign } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { certify, makeHolder, TEST_NOW } from '../../../test/support/make-certificate.ts';
import { Problem } from '../problems/problem.ts';
import { DAY_MS, HOUR_MS, SECOND_MS } from '../time/instant.ts';
import { contextConstructed, hexOf, tags } from './der.ts';
import {
  constructed,
  type DerNode,
  encodeDer,
  explicit,
  nullValue,
  octetString,
  oid,
  primitive,
  raw,
  sequence,
  smallInteger,
} from './der-writer.ts';
import { extensionNode } from './build-certificate.ts';
import { lintTbsOcspResponse, ocspRules } from './lint-ocsp-response.ts';
import { certIdNode, isOfIssuer, issuerHashesOf } from './ocsp-cert-id.ts';
import { buildOcspRequest, parseOcspRequest } from './ocsp-request.ts';
import { assembleOcspResponse, buildOcspError, buildTbsOcspResponse, ocspErrors, type OcspResponseFields } from './ocsp-response.ts';
import { oids } from './oid.ts';
import { parseOcspResponse, parseTbsOcspResponse } from './read-ocsp-response.ts';

const [root, issuing, responderHolder] = [makeHolder('Root'), makeHolder('Issuing'), makeHolder('Responder')];
const issuer = certify(issuing, root, true);
const responderFields = { extendedKeyUsage: [oids.ocspSigning], ocspNoCheck: true, notAfter: TEST_NOW + 30 * DAY_MS };
const responder = certify(responderHolder, issuing, false, responderFields);
const issuerHashes = { sha1: issuerHashesOf(issuer, 'sha1'), sha256: issuerHashesOf(issuer, 'sha256') };
const speaker = { issuer, issuerHashes, responder, responderKeyHash: createHash('sha1').update(responder.keyOctets).digest() };
const serial = Buffer.from('0102030405060708090a', 'hex');
const certId = encodeDer(certIdNode('sha256', issuerHashes.sha256, serial));
const malformed = { code: 'der-malformed' };

const question = (node: DerNode = certIdNode('sha1', issuerHashes.sha1, serial), ...more: readonly DerNode[]) => sequence(node, ...more);
const request = (list: readonly DerNode[], ...more: readonly DerNode[]) => encodeDer(sequence(sequence(sequence(...list), ...more)));
const extensions = (number: number, ...list: readonly DerNode[]) => explicit(number, constructed(tags.sequence, list));

test('parseOcspRequest() reads back what was built: both hashes, batches, nonces', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom('sha1', 'sha256'), fc.uint8Array({ minLength: 1, maxLength: 20 })), {
        minLength: 1,
        maxLength: 100,
      }),
      fc.option(fc.uint8Array({ minLength: 1, maxLength: 128 })),
      (questions, nonce) => {
        const asked = questions.map(([hash, octets]) => ({ hash, issuer: issuerHashes[hash], serial: Uint8Array.of(1, ...octets) }));
        const read = parseOcspRequest(buildOcspRequest(asked, nonce));
        assert.deepEqual(
          read.ids.map((id) => [id.hash, hexOf(id.serial)]),
          asked.map((one) => [one.hash, hexOf(one.serial)]),
        );
        assert.deepEqual(read.nonce, nonce);
        assert.ok(read.ids.every((id) => isOfIssuer(id, issuerHashes)));
      },
    ),
    { numRuns: 50 },
  );
});

test('parseOcspRequest() refuses what is no request of RFC 6960, or more than is answered', () => {
  const good = [question()];
  const ext = (id: string, critical: boolean, value: DerNode) => extensions(2, extensionNode(id, critical, value));
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ['nothing', new Uint8Array(0)],
    ['no questions', request([])],
    ['too many', request(Array.from({ length: 101 }, () => question()))],
    ['left over', Buffer.concat([request(good), Uint8Array.of(0)])],
    ['version 2', encodeDer(sequence(sequence(explicit(0, smallInteger(1)), sequence(...good))))],
    ['version 1 written out', encodeDer(sequence(sequence(explicit(0, smallInteger(0)), sequence(...good))))],
    ['critical extension', request(good, ext('1.2.3', true, nullValue()))],
    ['critical extension of a question', request([question(undefined, extensions(0, extensionNode('1.2.3', true, nullValue())))])],
    ['empty nonce', request(good, ext(oids.ocspNonce, false, octetString(new Uint8Array(0))))],
    ['long nonce', request(good, ext(oids.ocspNonce, false, octetString(new Uint8Array(129))))],
    ['nonce that is no octet string', request(good, ext(oids.ocspNonce, false, smallInteger(1)))],
    ['a nonce twice', request(good, extensions(2, ...[1, 2].map(() => extensionNode(oids.ocspNonce, false, octetString(serial)))))],
    ['takes no basic response', request(good, ext(oids.ocspAcceptableResponses, false, sequence(oid('1.2.3'))))],
    [
      'short hash',
      request([question(sequence(sequence(oid(oids.sha1), nullValue()), octetString(serial), octetString(serial), smallInteger(1)))]),
    ],
    [
      'hash with parameters',
      request([
        question(
          sequence(
            sequence(oid(oids.sha1), smallInteger(1)),
            octetString(new Uint8Array(20)),
            octetString(new Uint8Array(20)),
            smallInteger(1),
          ),
        ),
      ]),
    ],
    ['serial not minimal', request([question(certIdNode('sha1', issuerHashes.sha1, Uint8Array.of(0, 1)))])],
    ['long serial', request([question(certIdNode('sha1', issuerHashes.sha1, new Uint8Array(22).fill(1)))])],
    ['signature cut', encodeDer(sequence(sequence(sequence(...good)), explicit(0, sequence(sequence(oid('1.2.3'))))))],
    ['a third part', encodeDer(sequence(sequence(sequence(...good)), explicit(1, nullValue())))],
  ];
  for (const [what, der] of cases) assert.throws(() => parseOcspRequest(der), malformed, what);
});

test('parseOcspRequest() passes over what is not critical: unknown extensions, a requestor, a signature', () => {
  const name = constructed(contextConstructed(1), [constructed(contextConstructed(4), [raw(issuer.subject.der)])]);
  const body = sequence(
    name,
    sequence(question(undefined, extensions(0, extensionNode('1.2.3', false, nullValue())))),
    extensions(2, extensionNode('1.2.3', false, nullValue())),
  );
  const signature = explicit(0, sequence(sequence(oid('1.2.3')), primitive(tags.bitString, Uint8Array.of(0, 1))));
  assert.equal(parseOcspRequest(encodeDer(sequence(body, signature))).ids.length, 1);
  const absent = sequence(
    sequence(oid(oids.sha1)),
    octetString(issuerHashes.sha1.issuerNameHash),
    octetString(issuerHashes.sha1.issuerKeyHash),
    primitive(tags.integer, serial),
  );
  const [id] = parseOcspRequest(request([question(absent)])).ids;
  assert.equal(id!.hash, 'sha1');
  assert.deepEqual(id!.der, encodeDer(absent), 'echoed as it was spelt');
  const [foreign] = parseOcspRequest(
    request([question(sequence(sequence(oid(oids.sha384)), octetString(serial), octetString(serial), smallInteger(1)))]),
  ).ids;
  assert.equal(foreign!.hash, null);
  assert.equal(isOfIssuer(foreign!, issuerHashes), false);
});

const survives = (der: Uint8Array): void => {
  try {
    parseOcspRequest(der);
  } catch (error) {
    assert.ok(error instanceof Problem && error.code === 'der-malformed', String(error));
  }
};

test('a request with octets changed, dropped or added parses or is der-malformed, never anything else', () => {
  const seed = buildOcspRequest([{ hash: 'sha256', issuer: issuerHashes.sha256, serial }], serial);
  fc.assert(
    fc.property(fc.nat(seed.length - 1), fc.nat(255), (at, octet) => survives(seed.with(at, octet))),
    { numRuns: 1_000 },
  );
  fc.assert(
    fc.property(fc.nat(seed.length - 1), fc.uint8Array({ maxLength: 4 }), (at, more) =>
      survives(Buffer.concat([seed.subarray(0, at), more, seed.subarray(at + 1)])),
    ),
    { numRuns: 500 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), survives), { numRuns: 500 });
  for (let length = 0; length < seed.length; length++) assert.throws(() => parseOcspRequest(seed.subarray(0, length)), malformed);
});

const fields: OcspResponseFields = {
  responderKeyHash: speaker.responderKeyHash,
  producedAt: TEST_NOW,
  answers: [{ certId, status: { kind: 'good' }, thisUpdate: TEST_NOW, nextUpdate: TEST_NOW + DAY_MS }],
  nonce: null,
  extendedRevoke: false,
};
const answer = (change: Partial<OcspResponseFields['answers'][number]>): Partial<OcspResponseFields> => ({
  answers: [{ ...fields.answers[0]!, ...change }],
});

test('parseOcspResponse() reads back every status, and what signed it', () => {
  for (const status of [
    { kind: 'good' },
    { kind: 'unknown' },
    { kind: 'revoked', at: TEST_NOW - HOUR_MS, reason: 'keyCompromise' },
    { kind: 'revoked', at: 0, reason: 'unspecified' },
  ] as const) {
    const tbs = buildTbsOcspResponse({ ...fields, ...answer({ status }), nonce: serial });
    const read = parseOcspResponse(assembleOcspResponse(tbs, 'ecdsa-sha256', sign('sha256', tbs, responderHolder.key), responder.der));
    assert.ok(read.kind === 'answer');
    assert.deepEqual(read.tbs, tbs);
    assert.deepEqual(read.answers[0]!.status, status);
    assert.deepEqual(read.answers[0]!.id.der, certId);
    assert.deepEqual(Buffer.from(read.nonce!), serial);
    assert.deepEqual(read.certificates, [responder.der]);
  }
  for (const error of Object.keys(ocspErrors) as (keyof typeof ocspErrors)[]) {
    assert.deepEqual(parseOcspResponse(buildOcspError(error)), { kind: 'error', error });
  }
  assert.equal(hexOf(buildOcspError('unauthorized')), '30030a0106');
});

test('parseOcspResponse() refuses every cut, and mixtures of error and answer', () => {
  const tbs = buildTbsOcspResponse(fields);
  const whole = assembleOcspResponse(tbs, 'ecdsa-sha256', serial, responder.der);
  for (let length = 0; length < whole.length; length++) assert.throws(() => parseOcspResponse(whole.subarray(0, length)), malformed);
  for (const status of [0, 4, 7])
    assert.throws(() => parseOcspResponse(encodeDer(sequence(smallInteger(status, tags.enumerated)))), malformed);
  const inner = sequence(oid(oids.ocspBasic), octetString(tbs));
  assert.throws(() => parseOcspResponse(encodeDer(sequence(smallInteger(6, tags.enumerated), explicit(0, inner)))), malformed);
  assert.throws(
    () => parseOcspResponse(encodeDer(sequence(smallInteger(0, tags.enumerated), explicit(0, sequence(oid('1.2.3'), octetString(tbs)))))),
    malformed,
  );
});

test('lintTbsOcspResponse() passes what is right and names what each rule forbids', () => {
  const broken = (change: Partial<OcspResponseFields>, by: Partial<typeof speaker> = {}): readonly string[] => {
    const result = lintTbsOcspResponse(buildTbsOcspResponse({ ...fields, ...change }), { ...speaker, ...by }, { now: TEST_NOW });
    return result.kind === 'clean' ? [] : result.findings.map(({ rule }) => rule);
  };
  const hold = { kind: 'revoked', at: 0, reason: 'certificateHold' } as const;
  assert.deepEqual(broken({}), []);
  assert.deepEqual(broken({ ...answer({ status: hold }), extendedRevoke: true }), []);
  const otherIssuer = certify(makeHolder('Other'), root, true);
  const otherId = encodeDer(certIdNode('sha1', issuerHashesOf(otherIssuer, 'sha1'), serial));
  const cases: readonly (readonly [string, Partial<OcspResponseFields>, Partial<typeof speaker>?])[] = [
    ['ocsp-delegate', {}, { responder: certify(responderHolder, root, false, responderFields) }],
    [
      'ocsp-delegate',
      {},
      { responder: certify(responderHolder, issuing, false, { ...responderFields, extendedKeyUsage: [oids.serverAuth] }) },
    ],
    ['ocsp-responder-id', { responderKeyHash: Buffer.alloc(20) }],
    ['ocsp-answers', { answers: [] }],
    ['ocsp-answers', answer({ certId: otherId })],
    ['ocsp-updates', { producedAt: TEST_NOW + SECOND_MS }],
    ['ocsp-updates', answer({ thisUpdate: TEST_NOW + SECOND_MS })],
    ['ocsp-updates', answer({ nextUpdate: TEST_NOW })],
    ['ocsp-updates', answer({ nextUpdate: TEST_NOW + HOUR_MS })],
    ['ocsp-updates', answer({ nextUpdate: TEST_NOW + 11 * DAY_MS })],
    ['ocsp-revoked', answer({ status: { kind: 'revoked', at: TEST_NOW + SECOND_MS, reason: 'superseded' } })],
    ['ocsp-revoked', answer({ status: { kind: 'revoked', at: TEST_NOW, reason: 'removeFromCRL' } })],
    ['ocsp-revoked', answer({ status: hold })],
    ['ocsp-revoked', { ...answer({ status: { ...hold, at: TEST_NOW } }), extendedRevoke: true }],
  ];
  for (const [rule, change, by] of cases) assert.deepEqual(broken(change, by), [rule], rule);
  assert.deepEqual([...new Set(cases.map(([rule]) => rule))].toSorted(), ocspRules.map(({ id }) => id).toSorted());
  assert.equal(lintTbsOcspResponse(Uint8Array.of(0x30, 1), speaker, { now: TEST_NOW }).kind, 'faulty');
  assert.equal(parseTbsOcspResponse(buildTbsOcspResponse(fields)).answers.length, 1);
});
