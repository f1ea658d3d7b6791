import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { ada, joinRequest, openTestAuthorities, place, type TestAuthorities } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { hasOpenssl, makeFiles, openssl } from '../../../test/support/openssl.ts';
import type { IssuedCertificate } from '../../control/ca/issuance-request.ts';
import { issueCertificate } from '../../control/ca/issue-certificate.ts';
import { OcspAnswers } from '../../control/ca/ocsp-answers.ts';
import { revokeCertificate } from '../../control/ca/revoke-certificate.ts';
import type { UnassignedPolicy } from '../../control/ca/sign-ocsp-answer.ts';
import { DAY_MS, HOUR_MS, SECOND_MS } from '../../core/time/instant.ts';
import { certificateKey, parseCertificate } from '../../core/x509/certificate.ts';
import { issuerHashesOf } from '../../core/x509/ocsp-cert-id.ts';
import { buildOcspRequest } from '../../core/x509/ocsp-request.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { oids } from '../../core/x509/oid.ts';
import { parseOcspResponse } from '../../core/x509/read-ocsp-response.ts';
import { verifySignature } from '../../core/x509/signature-algorithm.ts';
import { ManualClock } from '../../platform/clock/clock.ts';
import { answerOcsp, type OcspQuestion } from './answer-ocsp.ts';
import { serveOcsp } from './serve-ocsp.ts';

const now = 1_800_000_000_000;
const noOpenssl = (await hasOpenssl()) ? false : 'openssl is missing';

type Lab = AsyncDisposable & { readonly ca: TestAuthorities; readonly ocsp: OcspAnswers; readonly issued: IssuedCertificate };

async function openLab(url: string, at = now, unassigned: UnassignedPolicy = 'unknown'): Promise<Lab> {
  const ca = await openTestAuthorities(url, at - HOUR_MS);
  const ocsp = new OcspAnswers(ca, { unassigned });
  await ocsp.reconcile(at);
  const issued = await issueCertificate(ca, joinRequest({ lifetimeMs: 30 * DAY_MS }), at);
  return {
    ca,
    ocsp,
    issued,
    async [Symbol.asyncDispose]() {
      ocsp[Symbol.dispose]();
      await ca[Symbol.asyncDispose]();
    },
  };
}

const questionOf = ({ ca }: Lab, serial: Uint8Array, hash: 'sha1' | 'sha256' = 'sha256', issuer = ca.authorities.issuing[0]!) => ({
  hash,
  issuer: issuerHashesOf(issuer.certificate, hash),
  serial,
});
const post = (body: Uint8Array | null): OcspQuestion => ({
  method: 'POST',
  path: '/ocsp',
  contentType: 'application/ocsp-request',
  ifNoneMatch: null,
  body,
});
const get = (der: Uint8Array): OcspQuestion => ({
  method: 'GET',
  path: `/ocsp/${encodeURIComponent(Buffer.from(der).toString('base64'))}`,
  contentType: null,
  ifNoneMatch: null,
  body: new Uint8Array(0),
});

async function readAnswer(lab: Lab, question: OcspQuestion, at = now) {
  const read = parseOcspResponse((await answerOcsp(lab.ocsp, question, at)).body!);
  assert.ok(read.kind === 'answer', read.kind === 'error' ? read.error : '');
  return read;
}
async function readError(lab: Lab, question: OcspQuestion, at = now): Promise<string> {
  const read = parseOcspResponse((await answerOcsp(lab.ocsp, question, at)).body!);
  return read.kind === 'error' ? read.error : 'an answer';
}

forEachDatabase('OCSP', (newUrl) => {
  test('the status is good, then revoked with time and reason, signed by a delegate of the same issuer', async () => {
    await using lab = await openLab(await newUrl());
    const { ca, issued } = lab;
    const [issuer] = ca.authorities.issuing;
    for (const hash of ['sha1', 'sha256'] as const) {
      const question = post(buildOcspRequest([questionOf(lab, issued.serial, hash)]));
      const read = await readAnswer(lab, question);
      assert.deepEqual(
        read.answers.map(({ status, id }) => [status.kind, id.hash]),
        [['good', hash]],
      );
      const responder = parseCertificate(read.certificates[0]!);
      assert.deepEqual(responder.extendedKeyUsage, [oids.ocspSigning]);
      assert.deepEqual([...responder.keyUsage!], ['digitalSignature']);
      assert.equal(Buffer.from(responder.extensions.find(({ oid }) => oid === oids.ocspNoCheck)!.value).toString('hex'), '0500');
      assert.deepEqual(responder.crlDistributionPoints, []);
      assert.ok(verifySignature(responder.signatureAlgorithm!, certificateKey(issuer!.certificate), responder.tbs, responder.signature));
      assert.ok(verifySignature(read.signatureAlgorithm!, certificateKey(responder), read.tbs, read.signature));
    }
    await revokeCertificate(ca, { ...issued, reason: 'keyCompromise' }, ada, now + SECOND_MS);
    await new Promise((resolve) => setImmediate(resolve));
    const status = { kind: 'revoked', at: now + SECOND_MS, reason: 'keyCompromise' };
    for (const ask of [post, get]) {
      const read = await readAnswer(lab, ask(buildOcspRequest([questionOf(lab, issued.serial)])), now + SECOND_MS);
      assert.deepEqual(read.answers[0]!.status, status);
    }
  });

  test('a serial that nobody has is never good: unknown, or revoked since 1970 by policy; neither is kept', async () => {
    for (const policy of ['unknown', 'revoked'] as const) {
      await using lab = await openLab(await newUrl(), now, policy);
      const question = post(buildOcspRequest([questionOf(lab, Buffer.alloc(17, 1))]));
      const read = await readAnswer(lab, question);
      const hold = { kind: 'revoked', at: 0, reason: 'certificateHold' };
      assert.deepEqual(read.answers[0]!.status, policy === 'unknown' ? { kind: 'unknown' } : hold);
      assert.equal(
        read.extensions.some(({ oid }) => oid === oids.ocspExtendedRevoke),
        policy === 'revoked',
      );
      const answer = await answerOcsp(lab.ocsp, get(question.body!), now);
      assert.equal(answer.headers['cache-control'], 'no-store');
      assert.equal(lab.ocsp.size, 0);
    }
  });

  test('foreign issuers, mixed batches and unknown hashes are unauthorized; what is no request is malformedRequest; before the first responder: tryLater', async () => {
    await using lab = await openLab(await newUrl());
    const { ca, issued } = lab;
    const own = questionOf(lab, issued.serial);
    const foreign = { ...own, issuer: issuerHashesOf(ca.authorities.roots[0]!, 'sha256') };
    const other = questionOf(lab, issued.serial, 'sha256', ca.authorities.issuing[1]!);
    assert.equal(await readError(lab, post(buildOcspRequest([foreign]))), 'unauthorized');
    assert.equal(await readError(lab, post(buildOcspRequest([own, foreign]))), 'unauthorized');
    assert.equal(await readError(lab, post(buildOcspRequest([own, other]))), 'unauthorized');
    assert.equal(
      await readError(lab, post(buildOcspRequest([{ ...own, issuer: { ...own.issuer, issuerNameHash: other.issuer.issuerNameHash } }]))),
      'unauthorized',
    );
    assert.deepEqual(
      (await readAnswer(lab, post(buildOcspRequest([other])))).answers[0]!.status,
      { kind: 'unknown' },
      'of another issuer of ours',
    );
    const good = buildOcspRequest([own]);
    for (const body of [new Uint8Array(0), Uint8Array.of(0x30, 0), good.subarray(1), Buffer.concat([good, good]), null]) {
      assert.equal(await readError(lab, post(body)), 'malformedRequest');
    }
    for (const path of ['/ocsp', '/ocsp/', '/ocsp/MAA=', '/ocsp/%', '/ocsp/!!!!', `/ocsp/${'A'.repeat(70_000)}`, '/ocsp/%00%00%00%00']) {
      assert.equal(await readError(lab, { ...get(good), path }), 'malformedRequest', path.slice(0, 40));
    }
    for (const method of ['PUT', 'HEAD', 'DELETE', 'get', ''])
      assert.equal((await answerOcsp(lab.ocsp, { ...post(good), method }, now)).status, 405);
    for (const contentType of [null, 'text/plain', 'application/ocsp-response']) {
      assert.equal((await answerOcsp(lab.ocsp, { ...post(good), contentType }, now)).status, 415);
    }
    assert.equal((await answerOcsp(lab.ocsp, { ...post(good), path: '/ocsp/x' }, now)).status, 404);
    using fresh = new OcspAnswers(ca);
    assert.equal(await readError({ ...lab, ocsp: fresh }, post(good)), 'tryLater');
  });

  test('a nonce is echoed and its answer kept by nobody; a batch is answered whole and in order', async () => {
    await using lab = await openLab(await newUrl());
    const { ca, issued } = lab;
    const second = await issueCertificate(ca, joinRequest(), now);
    await revokeCertificate(ca, { ...second, reason: 'superseded' }, ada, now);
    for (const length of [1, 16, 32, 128]) {
      const nonce = Buffer.alloc(length, 7);
      const der = buildOcspRequest([questionOf(lab, issued.serial)], nonce);
      assert.deepEqual(Buffer.from((await readAnswer(lab, post(der))).nonce!), nonce);
      assert.equal((await answerOcsp(lab.ocsp, get(der), now)).headers['cache-control'], 'no-store');
    }
    for (const length of [0, 129])
      assert.equal(
        await readError(lab, post(buildOcspRequest([questionOf(lab, issued.serial)], Buffer.alloc(length)))),
        'malformedRequest',
      );
    assert.equal(lab.ocsp.size, 0);
    const asked = [second.serial, Buffer.alloc(17, 1), issued.serial, second.serial].map((serial) => questionOf(lab, serial));
    const read = await readAnswer(lab, post(buildOcspRequest(asked)));
    assert.deepEqual(
      read.answers.map(({ status }) => status.kind),
      ['revoked', 'unknown', 'good', 'revoked'],
    );
    assert.equal(read.nonce, null);
  });

  test('an answer is kept, given again octet for octet with validators, until half of its life or a revocation', async () => {
    await using lab = await openLab(await newUrl());
    const { ca, issued } = lab;
    const der = buildOcspRequest([questionOf(lab, issued.serial)]);
    const first = await answerOcsp(lab.ocsp, get(der), now);
    assert.deepEqual(first.headers, {
      'content-type': 'application/ocsp-response',
      'content-length': first.body!.length,
      etag: first.headers['etag'],
      'last-modified': new Date(now).toUTCString(),
      expires: new Date(now + DAY_MS).toUTCString(),
      'cache-control': 'max-age=60, public, no-transform, must-revalidate',
    });
    const again = await answerOcsp(lab.ocsp, get(der), now + 11 * HOUR_MS);
    assert.deepEqual(again.body, first.body);
    const etag = String(first.headers['etag']);
    assert.equal((await answerOcsp(lab.ocsp, { ...get(der), ifNoneMatch: `"x", ${etag}` }, now)).status, 304);
    assert.equal((await answerOcsp(lab.ocsp, { ...get(der), ifNoneMatch: '"x"' }, now)).status, 200);
    const other = await issueCertificate(ca, joinRequest(), now);
    await revokeCertificate(ca, { ...other, reason: 'superseded' }, ada, now);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual((await answerOcsp(lab.ocsp, get(der), now + 11 * HOUR_MS)).body, first.body, 'the revocation was of another');
    const later = await readAnswer(lab, get(der), now + 12 * HOUR_MS);
    assert.equal(later.producedAt, now + 12 * HOUR_MS);
  });

  test('a revocation by another process is seen without a signal', async () => {
    const url = await newUrl();
    await using lab = await openLab(url);
    const { ca, issued } = lab;
    const question = get(buildOcspRequest([questionOf(lab, issued.serial)]));
    assert.equal((await readAnswer(lab, question)).answers[0]!.status.kind, 'good');
    await using second = await openTestAuthorities(url, now, { reopen: ca.kek });
    await revokeCertificate(second, { ...issued, reason: 'superseded' }, ada, now);
    assert.equal((await readAnswer(lab, question, now + SECOND_MS)).answers[0]!.status.kind, 'revoked');
  });

  test('responders are renewed at half of their life, hot answers before they lapse, and cold ones are forgotten', async () => {
    await using lab = await openLab(await newUrl());
    const { ca, ocsp, issued } = lab;
    const responders = (): number => ca.entriesOf('certificate.issued').filter(({ actor }) => actor.name === 'ocsp').length;
    assert.equal(responders(), 2, 'one for each authority');
    const cold = await issueCertificate(ca, joinRequest(), now);
    const hot = get(buildOcspRequest([questionOf(lab, issued.serial)]));
    for (let asked = 0; asked < 6; asked++) await answerOcsp(ocsp, hot, now);
    await answerOcsp(ocsp, get(buildOcspRequest([questionOf(lab, cold.serial)])), now);
    assert.equal(ocsp.size, 2);
    await ocsp.reconcile(now + 12 * HOUR_MS - SECOND_MS);
    assert.equal(ocsp.size, 1);
    assert.equal((await readAnswer(lab, hot, now + 12 * HOUR_MS)).producedAt, now + 12 * HOUR_MS - SECOND_MS, 'signed before it was asked');
    assert.equal(responders(), 2);
    await ocsp.reconcile(now + 4 * DAY_MS);
    assert.equal(responders(), 4);
    assert.equal(await readError(lab, hot, now + 12 * DAY_MS), 'tryLater', 'nobody renewed the responder');
  });

  test('openssl asks by POST with a nonce, fetch by GET, over plain HTTP', { skip: noOpenssl }, async () => {
    const today = Math.floor(Date.now() / SECOND_MS) * SECOND_MS;
    await using lab = await openLab(await newUrl(), today);
    const { ca, ocsp, issued } = lab;
    const deps = { ocsp, clock: new ManualClock(today) };
    await using server = createServer(async (request, response) => {
      if (!(await serveOcsp(deps, request, response))) response.writeHead(421).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const [issuer] = ca.authorities.issuing;
    await using files = await makeFiles();
    const roots = await files.write('roots', ca.authorities.roots.map(({ der }) => encodePem('CERTIFICATE', der)).join(''));
    const issuerFile = await files.write('issuer', encodePem('CERTIFICATE', issuer!.certificate.der));
    const leaf = await files.write('leaf', encodePem('CERTIFICATE', issued.der));
    const ask = (...hash: readonly string[]) =>
      openssl(['ocsp', '-url', `${base}/ocsp`, ...hash, '-issuer', issuerFile, '-cert', leaf, '-CAfile', roots, '-text']);
    for (const hash of [[], ['-sha256']]) {
      const { output } = await ask(...hash);
      assert.match(output, /Response verify OK/);
      assert.match(output, /: good/);
      assert.doesNotMatch(output, /no nonce/);
    }
    await revokeCertificate(ca, { ...issued, reason: 'keyCompromise' }, ada, today);
    await new Promise((resolve) => setImmediate(resolve));
    const { output } = await ask();
    assert.match(output, /Response verify OK/);
    assert.match(output, /: revoked/);
    assert.match(output, /Reason: keyCompromise/);
    const der = buildOcspRequest([questionOf(lab, issued.serial)]);
    const answer = await fetch(`${base}${get(der).path}?x=1`, { headers: { connection: 'close' } });
    assert.equal(answer.headers.get('content-type'), 'application/ocsp-response');
    assert.equal(parseOcspResponse(new Uint8Array(await answer.arrayBuffer())).kind, 'answer');
    const large = await fetch(`${base}/ocsp`, {
      method: 'POST',
      body: new Uint8Array(100_000),
      headers: { connection: 'close', 'content-type': 'application/ocsp-request' },
    });
    assert.deepEqual(parseOcspResponse(new Uint8Array(await large.arrayBuffer())), { kind: 'error', error: 'malformedRequest' });
    assert.equal((await fetch(`${base}/ocspx`, { headers: { connection: 'close' } })).status, 421);
  });

  test('a responder is issued by the one door, logged, and of nobody else’s names', async () => {
    await using lab = await openLab(await newUrl());
    const [entry] = lab.ca.entriesOf('certificate.reserved').filter(({ actor }) => actor.name === 'ocsp');
    assert.equal(entry!.data['profile'], 'ocsp-signer');
    assert.deepEqual(entry!.data['names'], { dns: [], ip: [] });
    await assert.rejects(issueCertificate(lab.ca, joinRequest({ profile: 'ocsp-signer' }), now), { code: 'issuance-refused' });
    await assert.rejects(
      issueCertificate(
        lab.ca,
        joinRequest({ profile: 'ocsp-signer', door: 'rest', asker: { role: 'admin', scope: '*', spiffeId: null }, ...place }),
        now,
      ),
      { code: 'issuance-refused' },
    );
  });
});
