import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { joinRequest, openTestAuthorities, ada, place, type TestAuthorities } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type ExternalLab, openExternalLab } from '../../../test/support/external-lab.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { HOUR_MS } from '../../core/time/instant.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { serveOcsp } from '../../protocols/revocation/serve-ocsp.ts';
import { serveRevocation } from '../../protocols/revocation/serve-revocation.ts';
import type { IssuedCertificate } from '../ca/issuance-request.ts';
import { issueCertificate } from '../ca/issue-certificate.ts';
import { OcspAnswers } from '../ca/ocsp-answers.ts';
import { reconcileAuthorities } from '../ca/reconcile.ts';
import { revokeCertificate } from '../ca/revoke-certificate.ts';
import { findForeignCertificate } from './foreign-certificate-store.ts';
import { importCertificate } from './import-certificate.ts';
import { watchCertificates } from './watch-certificates.ts';

/** What another Countersign publishes, at the address that its certificates name: `answers` are the ways that are open now. */
async function openPublisher(url: string, clock: ExternalLab['clock']) {
  await using stack = new AsyncDisposableStack();
  const port = await freePort();
  const ca = stack.use(await openTestAuthorities(url, clock.now() - HOUR_MS, { crlBaseUrl: `http://127.0.0.1:${port}` }));
  const ocsp = stack.use(new OcspAnswers(ca));
  const asked: string[] = [];
  const answers = { ocsp: true, list: true, garbage: false };
  const { queries } = ca.database;
  const server = createServer(async (request, response) => {
    asked.push(request.url!.split('/')[1]!);
    if (answers.garbage) return void response.end('what is this');
    if (answers.ocsp && (await serveOcsp({ ocsp, clock }, request, response))) return;
    if (answers.list && (await serveRevocation({ queries, clock }, request, response))) return;
    response.writeHead(503).end();
  });
  stack.defer(() => void (server.closeAllConnections(), server.close()));
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const publish = async (): Promise<void> => {
    await reconcileAuthorities(ca, clock.now());
    await ocsp.reconcile(clock.now());
  };
  await publish();
  const running = stack.move();
  return { ca, asked, answers, publish, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

/** By OCSP and by a list; a workload's certificate names a list alone. */
function issue(ca: TestAuthorities, profile: 'server' | 'workload', now: number): Promise<IssuedCertificate> {
  if (profile === 'workload') return issueCertificate(ca, joinRequest({ lifetimeMs: 24 * HOUR_MS }), now);
  const asker = { role: 'admin', scope: '*', spiffeId: null } as const;
  const names = { dns: ['api.partner.test'], ip: [] };
  const change = { door: 'rest', profile, asker, actor: ada, spiffeId: null, proxyId: null, names, lifetimeMs: 24 * HOUR_MS } as const;
  return issueCertificate(ca, joinRequest(change), now);
}

function bring(lab: ExternalLab, ca: TestAuthorities, { chain }: IssuedCertificate) {
  const [chainPem, rootsPem] = [chain, ca.authorities.roots.map(({ der }) => der)].map((all) =>
    all.map((der) => encodePem('CERTIFICATE', der)).join(''),
  ) as [string, string];
  return importCertificate(lab.deps, { ...place, chainPem, rootsPem, endpointId: null }, ada, lab.clock.now());
}

async function look(lab: ExternalLab, key: Parameters<typeof findForeignCertificate>[1]) {
  lab.advance(HOUR_MS);
  await watchCertificates(lab.deps);
  const { finding, findingDetail } = (await findForeignCertificate(lab.ca.database.queries, key))!;
  return [finding, findingDetail ?? ''] as const;
}

forEachDatabase('the status of a certificate of another CA', (newUrl) => {
  test('is asked of its responder first, whose delegate signs, and of its list where that says nothing', async () => {
    await using lab = await openExternalLab(await newUrl());
    await using other = await openPublisher(await newUrl(), lab.clock);
    const issued = await issue(other.ca, 'server', lab.clock.now());
    const held = await bring(lab, other.ca, issued);
    assert.equal((await look(lab, held))[0], 'none');
    assert.deepEqual(other.asked, ['ocsp'], 'who got an answer asks nobody else');
    other.answers.ocsp = false;
    assert.equal((await look(lab, held))[0], 'none');
    assert.deepEqual(other.asked, ['ocsp', 'ocsp', 'crl']);
    other.answers.list = false;
    assert.deepEqual(await look(lab, held), ['status-unknown', 'HTTP status 503']);
    other.answers.garbage = true;
    const [finding, detail] = await look(lab, held);
    assert.equal(finding, 'status-unknown');
    assert.match(detail, /Cannot parse/);
    Object.assign(other.answers, { ocsp: true, list: true, garbage: false });
    await revokeCertificate(other.ca, { ...issued, reason: 'keyCompromise' }, ada, lab.clock.now());
    await other.publish();
    const revoked = await look(lab, held);
    assert.equal(revoked[0], 'revoked');
    assert.match(revoked[1], /^keyCompromise at 20/);
    const found = lab.ca.entriesOf('external-certificate.found').map(({ data }) => data['finding']);
    assert.deepEqual(found, ['status-unknown', 'revoked'], 'what is the same again is not logged again');
  });

  test('is found on a list alone where the certificate names no responder', async () => {
    await using lab = await openExternalLab(await newUrl());
    await using other = await openPublisher(await newUrl(), lab.clock);
    const issued = await issue(other.ca, 'workload', lab.clock.now());
    const held = await bring(lab, other.ca, issued);
    assert.equal((await look(lab, held))[0], 'none');
    await revokeCertificate(other.ca, { ...issued, reason: 'superseded' }, ada, lab.clock.now());
    await other.publish();
    assert.match((await look(lab, held)).join(), /^revoked,superseded at/);
    assert.deepEqual([...new Set(other.asked)], ['crl']);
  });

  test('is not asked outside of what is allowed', async () => {
    await using lab = await openExternalLab(await newUrl());
    await using other = await openPublisher(await newUrl(), lab.clock);
    const held = await bring(lab, other.ca, await issue(other.ca, 'server', lab.clock.now()));
    const closed = { ...lab.deps, policy: { permits: () => false } };
    lab.advance(HOUR_MS);
    await watchCertificates(closed);
    const unasked = (await findForeignCertificate(lab.ca.database.queries, held))!;
    assert.match(`${unasked.finding} ${unasked.findingDetail}`, /^status-unknown policy: /);
    assert.deepEqual(other.asked, []);
  });
});
