import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { ada, joinRequest, openTestAuthorities } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { crlPath } from '../../control/ca/crl-path.ts';
import { issueCertificate } from '../../control/ca/issue-certificate.ts';
import { reconcileAuthorities } from '../../control/ca/reconcile.ts';
import { revokeCertificate } from '../../control/ca/revoke-certificate.ts';
import { DAY_MS, SECOND_MS } from '../../core/time/instant.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { findExtension } from '../../core/x509/certificate.ts';
import { readAccess } from '../../core/x509/extensions.ts';
import { oids } from '../../core/x509/oid.ts';
import { verifyPath } from '../../core/x509/verify-path.ts';
import { parseCertificateList } from '../../core/x509/certificate-list.ts';
import { ManualClock } from '../../platform/clock/clock.ts';
import { answerCertificateList, type CrlRequest } from './certificate-list.ts';
import { serveIssuer } from './serve-issuer.ts';
import { serveRevocation } from './serve-revocation.ts';

const now = 1_800_000_000_000;

forEachDatabase('GET /crl/<authority>.crl', (newUrl) => {
  test('answers the current list with validators, and 304 to who has it', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const [issuer] = ca.authorities.issuing;
    const plain: CrlRequest = { method: 'GET', path: crlPath(issuer!.id), ifNoneMatch: null, ifModifiedSince: null };
    const ask = (change: Partial<CrlRequest> = {}, at = now) => answerCertificateList(ca.database, { ...plain, ...change }, at);
    assert.equal((await ask()).status, 404, 'nothing is published yet');
    await reconcileAuthorities(ca, now);
    const fresh = await ask();
    assert.equal(fresh.headers['last-modified'], undefined, 'another list may follow in this second');
    const first = await ask({}, now + SECOND_MS);
    assert.equal(first.status, 200);
    assert.equal(first.headers['content-type'], 'application/pkix-crl');
    assert.equal(first.headers['cache-control'], 'public, max-age=60, must-revalidate');
    assert.equal(first.headers['last-modified'], new Date(now).toUTCString());
    assert.equal(parseCertificateList(first.body!).crlNumber, (now / SECOND_MS).toString(16));
    const etag = first.headers['etag']!;
    for (const ifNoneMatch of [etag, `W/${etag}`, `"x", ${etag}`, '*']) assert.equal((await ask({ ifNoneMatch })).status, 304, ifNoneMatch);
    assert.equal((await ask({ ifModifiedSince: first.headers['last-modified']! })).status, 304);
    const head = await ask({ method: 'HEAD' });
    assert.deepEqual([head.status, head.body, head.headers['content-length']], [200, null, String(first.body!.length)]);

    const issued = await issueCertificate(ca, joinRequest(), now);
    await revokeCertificate(ca, { ...issued, reason: 'superseded' }, ada, now);
    await reconcileAuthorities(ca, now + SECOND_MS);
    const stale = [{ ifNoneMatch: etag }, { ifModifiedSince: first.headers['last-modified']! }, { ifModifiedSince: 'yesterday' }];
    stale.push({ ifNoneMatch: '"x"' }, { ifNoneMatch: '' }, { ifModifiedSince: '' });
    for (const validator of stale) assert.equal((await ask(validator, now + SECOND_MS)).status, 200, JSON.stringify(validator));
    const both = { ifNoneMatch: etag, ifModifiedSince: new Date(now + DAY_MS).toUTCString() };
    assert.equal((await ask(both)).status, 200, 'If-None-Match alone counts');
    assert.equal((await ask({}, now + 3 * DAY_MS)).headers['cache-control'], 'public, max-age=0, must-revalidate', 'past nextUpdate');
  });

  test('refuses other methods and every path that names no authority', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    await reconcileAuthorities(ca, now);
    const [issuer] = ca.authorities.issuing;
    const good = crlPath(issuer!.id);
    const paths = [
      '/crl/',
      '/crl/.crl',
      '/crl/authority_.crl',
      `${good}.crl`,
      good.slice(0, -4),
      good.toUpperCase(),
      good.replace('/crl/', '/crl/../'),
      '/crl/%2e%2e/x.crl',
    ];
    paths.push(`/crl/${'a'.repeat(10_000)}.crl`, good.replace('authority_', 'proxy_'), `/crl/authority_${'0'.repeat(26)}.crl`, '/');
    for (const path of paths) {
      const answer = await answerCertificateList(ca.database, { method: 'GET', path, ifNoneMatch: null, ifModifiedSince: null }, now);
      assert.equal(answer.status, 404, path.slice(0, 80));
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'get', '']) {
      const answer = await answerCertificateList(ca.database, { method, path: good, ifNoneMatch: null, ifModifiedSince: null }, now);
      assert.equal(answer.status, 405, method);
    }
  });

  test('serves over plain HTTP, and leaves other paths to others', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    await reconcileAuthorities(ca, now);
    const deps = { queries: ca.database.queries, clock: new ManualClock(now) };
    await using server = createServer(async (request, response) => {
      if (!(await serveRevocation(deps, request, response))) response.writeHead(421).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const [issuer] = ca.authorities.issuing;
    const answer = await fetch(`${base}${crlPath(issuer!.id)}?x=1`, { headers: { connection: 'close' } });
    assert.equal(answer.status, 200);
    assert.equal(parseCertificateList(new Uint8Array(await answer.arrayBuffer())).revoked.length, 0);
    assert.equal((await fetch(`${base}/log/checkpoint`, { headers: { connection: 'close' } })).status, 421);
    assert.equal((await fetch(`${base}/crl/x.crl`, { headers: { connection: 'close' } })).status, 404);
  });
});

forEachDatabase('GET /ca/<authority>.cer', (newUrl) => {
  test('answers with the certificate that a server’s certificate points at, and whoever has the root alone finds the way up by it', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const server = createServer((request, response) => {
      void serveIssuer(ca.database, request, response).then((answered) => answered || response.writeHead(418).end());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const shape = { door: 'rest', proxyId: null, spiffeId: null, asker: { role: 'operator', scope: '*', spiffeId: null } } as const;
    const names = { dns: ['www.acme.example'], ip: [] };
    for (const profile of ['server', 'server-shortlived'] as const) {
      const { der, chain } = await issueCertificate(ca, joinRequest({ ...shape, profile, names }), now);
      const leaf = parseCertificate(der);
      const { pathname } = new URL(accessUriOf(leaf)!);
      const found = await fetch(`${base}${pathname}`);
      assert.deepEqual([found.status, found.headers.get('content-type')], [200, 'application/pkix-cert']);
      const issuer = new Uint8Array(await found.arrayBuffer());
      assert.deepEqual(Buffer.from(issuer), Buffer.from(chain[1]!));
      const path = { leaf, intermediates: [parseCertificate(issuer)], anchors: ca.authorities.roots, usage: 'server', now } as const;
      assert.equal(verifyPath(path).kind, 'valid');
    }
    const workload = await issueCertificate(ca, joinRequest(), now);
    assert.equal(accessUriOf(parseCertificate(workload.der)), null, 'our own fleet has it');
    const { id } = ca.authorities.issuing[0]!;
    const statusOf = async (path: string, method = 'GET') => (await fetch(`${base}${path}`, { method })).status;
    assert.equal(await statusOf(`/ca/${id}.cer`, 'HEAD'), 200);
    assert.equal(await statusOf(`/ca/${id}.cer`, 'POST'), 405);
    assert.equal(await statusOf('/ca/authority_00000000000000000000000000.cer'), 404);
    for (const path of [
      '/ca/',
      '/ca/.cer',
      `/ca/${id}`,
      `/ca/${id}.crl`,
      `/ca/${id}/.cer`,
      `/ca/../ca/${id}.cer.cer`,
      '/ca/proxy_00000000000000000000000000.cer',
    ])
      assert.equal(await statusOf(path), 418, path);
    server.close();
  });
});

/** Where the certificate says that its issuer's is found. */
function accessUriOf(certificate: Certificate): string | null {
  const extension = findExtension(certificate, oids.authorityInfoAccess);
  return extension === null ? null : (readAccess(extension).find(({ method }) => method === oids.caIssuers)?.uri ?? null);
}
