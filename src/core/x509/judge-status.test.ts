import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHash, sign } from 'node:crypto';
import { certify, makeHolder, spkiOf, TEST_NOW, type TestHolder } from '../../../test/support/make-certificate.ts';
import { makeList } from '../../../test/support/make-certificate-list.ts';
import { DAY_MS, HOUR_MS } from '../time/instant.ts';
import type { Certificate } from './certificate.ts';
import { encodeDer } from './der-writer.ts';
import { judgeByList, judgeByResponse } from './judge-status.ts';
import { certIdNode, issuerHashesOf } from './ocsp-cert-id.ts';
import { assembleOcspResponse, buildOcspError, buildTbsOcspResponse, type OcspStatus } from './ocsp-response.ts';
import { oids } from './oid.ts';
import { signatureAlgorithmFor, signatureParameters } from './signature-algorithm.ts';

const [root, stranger] = [makeHolder('Root'), makeHolder('Stranger')];
const issuer = certify(root, root, true);
const leaf = certify(makeHolder(null), root, false);
const other = certify(makeHolder(null), root, false, { serial: Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9) });
const subject = { leaf, issuer };

test('judgeByList() tells what a complete list of the issuer says, and nothing from any other', () => {
  assert.equal(judgeByList(TEST_NOW, makeList(root), subject).kind, 'good');
  assert.equal(judgeByList(TEST_NOW, makeList(root, { revoked: [{ certificate: other }] }), subject).kind, 'good');
  const revoked = judgeByList(TEST_NOW, makeList(root, { revoked: [{ certificate: leaf, reason: 'keyCompromise' }] }), subject);
  assert.ok(revoked.kind === 'revoked' && revoked.reason === 'keyCompromise');
  for (const [name, list, now] of [
    ['of a stranger', makeList(stranger), TEST_NOW],
    ['a delta', makeList(root, { deltaBase: 1 }), TEST_NOW],
    ['stale', makeList(root), TEST_NOW + 3 * DAY_MS],
    ['of tomorrow', makeList(root), TEST_NOW - 3 * DAY_MS],
  ] as const)
    assert.equal(judgeByList(now, list, subject).kind, 'unknown', name);
});

test('judgeByResponse() learns nothing from an error', () => {
  assert.equal(judgeByResponse(TEST_NOW, buildOcspError('tryLater'), subject).kind, 'unknown');
  assert.throws(() => judgeByResponse(TEST_NOW, Uint8Array.of(48, 0), subject), /DER/);
});

const responder = makeHolder('Responder');
const ocspSigning = { extendedKeyUsage: [oids.ocspSigning] };
const delegate = certify(responder, root, false, ocspSigning);

function respond(
  signer: TestHolder,
  certificate: Certificate,
  { about = leaf, of = issuer, status = { kind: 'good' } as OcspStatus, hash = 'sha1' as 'sha1' | 'sha256' } = {},
): Uint8Array {
  const algorithm = signatureAlgorithmFor(signer.key);
  const certId = encodeDer(certIdNode(hash, issuerHashesOf(of, hash), about.serial));
  const tbs = buildTbsOcspResponse({
    responderKeyHash: createHash('sha1').update(spkiOf(signer.key)).digest(),
    producedAt: TEST_NOW,
    answers: [{ certId, status, thisUpdate: TEST_NOW, nextUpdate: TEST_NOW + HOUR_MS }],
    nonce: null,
    extendedRevoke: false,
  });
  const how = signatureParameters(algorithm);
  return assembleOcspResponse(tbs, algorithm, sign(how.hash, tbs, { key: signer.key, ...how.options }), certificate.der);
}

test('judgeByResponse() takes the word of the issuer and of its delegate, by either hash', () => {
  for (const hash of ['sha1', 'sha256'] as const) {
    assert.equal(judgeByResponse(TEST_NOW, respond(root, issuer, { hash }), subject).kind, 'good', hash);
    assert.equal(judgeByResponse(TEST_NOW, respond(responder, delegate, { hash }), subject).kind, 'good', hash);
  }
  const revoked: OcspStatus = { kind: 'revoked', at: TEST_NOW - HOUR_MS, reason: 'superseded' };
  assert.deepEqual(judgeByResponse(TEST_NOW, respond(responder, delegate, { status: revoked }), subject), revoked);
});

test('judgeByResponse() learns nothing from whoever is not asked, or not now, or about something else', () => {
  const good = respond(responder, delegate);
  const forged = Uint8Array.from(good);
  forged[forged.length - delegate.der.length - 12]! ^= 1;
  const cases: readonly (readonly [string, Uint8Array, number, RegExp])[] = [
    ['a stranger', respond(stranger, certify(stranger, stranger, true)), TEST_NOW, /not signed by/],
    ['a delegate of a stranger', respond(responder, certify(responder, stranger, false, ocspSigning)), TEST_NOW, /not signed by/],
    ['a server of the issuer', respond(responder, certify(responder, root, false)), TEST_NOW, /not signed by/],
    [
      'an expired delegate',
      respond(responder, certify(responder, root, false, { ...ocspSigning, notAfter: TEST_NOW - 1_000 })),
      TEST_NOW,
      /not signed/,
    ],
    ['a delegate by another key', respond(stranger, delegate), TEST_NOW, /not signed by/],
    ['a changed signature', forged, TEST_NOW, /not signed by/],
    ['another certificate', respond(root, issuer, { about: other }), TEST_NOW, /another certificate/],
    ['another issuer of that serial', respond(root, issuer, { of: certify(stranger, stranger, true) }), TEST_NOW, /another certificate/],
    ['an old answer', good, TEST_NOW + DAY_MS, /not of this time/],
    ['an answer of tomorrow', good, TEST_NOW - HOUR_MS, /not of this time|not signed/],
    ['who does not know it', respond(root, issuer, { status: { kind: 'unknown' } }), TEST_NOW, /does not know/],
  ];
  for (const [name, response, now, expected] of cases) {
    const judged = judgeByResponse(now, response, subject);
    assert.ok(judged.kind === 'unknown' && expected.test(judged.detail), `${name}: ${JSON.stringify(judged)}`);
  }
});
