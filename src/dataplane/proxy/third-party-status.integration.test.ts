import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { createServer, type TlsOptions } from 'node:tls';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Origination, type OutboundSchema, StatusCheck } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Outcome } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { DAY_MS, HOUR_MS } from '../../core/time/instant.ts';
import type { Certificate } from '../../core/x509/certificate.ts';
import { issuerHashesOf } from '../../core/x509/ocsp-cert-id.ts';
import { buildOcspRequest } from '../../core/x509/ocsp-request.ts';
import { pemOf } from '../../../test/support/endpoints.ts';
import { OpensslPeers } from '../../../test/support/openssl-peers.ts';
import { hasOpenssl } from '../../../test/support/openssl.ts';
import { callInClear, outboundTo, ProxyLab, STOREFRONT } from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority, type TestAuthority, type TestCredential, type TestLeaf } from '../../../test/support/test-authority.ts';

const skip = (await hasOpenssl()) ? false : 'openssl is missing';
const NAME = 'api.processor.example';
type More = MessageInitShape<typeof OutboundSchema>;
type Status = 'good' | 'revoked' | 'unknown';
const strict: More = { statusCheck: StatusCheck.ENFORCE, refusesUnknownStatus: true, statusFrom: ['127.0.0.0/8'] };
const lenient: More = { ...strict, refusesUnknownStatus: false };
const observed: More = { ...strict, statusCheck: StatusCheck.OBSERVE };

const folder = await mkdtemp(join(tmpdir(), 'countersign-status-'));
after(() => rm(folder, { recursive: true }));
// What OpenSSL's server sends for `GET /paid`, as it stands.
await writeFile(join(folder, 'paid'), 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npaid');

/** A third party, its CA, and a proxy of ours that calls it. */
async function open(
  make: (web: TestAuthority, responder: string) => { readonly leaf: TestLeaf; readonly staple?: (leaf: Certificate) => Uint8Array },
) {
  const lab = new ProxyLab(STOREFRONT);
  const web = makeTestAuthority(Date.now(), 'Web');
  const ca: { status: Status | 'away'; asked: number } = { status: 'good', asked: 0 };
  const responder = createHttpServer((request, response) => {
    ca.asked += 1;
    request.resume().on('end', () => {
      if (ca.status === 'away') response.writeHead(503).end();
      else response.end(web.answerAbout(credential.certificate, { status: statusOf(ca.status) }));
    });
  });
  await new Promise<void>((resolve) => responder.listen(0, '127.0.0.1', resolve));
  const { leaf, staple } = make(web, `http://127.0.0.1:${(responder.address() as AddressInfo).port}/ocsp`);
  const credential = web.issue({ dnsNames: [NAME], ...leaf });
  const { port, close } = await serve(credential, staple?.(credential.certificate) ?? null);
  lab.onClose(() => {
    responder.close();
    close();
  });
  const apply = (more: More) =>
    lab.apply({
      spiffeId: STOREFRONT,
      outbound: [outboundTo([port], Origination.TLS, { serverName: NAME, serverAnchors: [web.root.der], ...more })],
    });
  const pay = () => callInClear(lab.portOf(0), 'GET /pay HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  const wouldRefuse = () =>
    (lab.proxy.takeReport().counts ?? []).filter(({ outcome }) => outcome === Outcome.WOULD_REFUSE).map(({ reason }) => reason);
  return { lab, ca, apply, pay, wouldRefuse };
}

async function serve(credential: TestCredential, staple: Uint8Array | null, options: TlsOptions = {}) {
  const server = createServer({ ...pemOf(credential), ALPNProtocols: ['http/1.1'], ...options }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npaid'));
  });
  if (staple !== null) server.on('OCSPRequest', (_leaf, _issuer, answer) => answer(null, Buffer.from(staple)));
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, close: () => void server.close() };
}

function statusOf(status: Status) {
  return status === 'revoked' ? ({ kind: 'revoked', at: Date.now() - HOUR_MS, reason: 'keyCompromise' } as const) : { kind: status };
}

const asksResponder = (_web: TestAuthority, ocspUri: string) => ({ leaf: { ocspUri } });
const PAID = /paid/;
const failure = (reason: string) => new RegExp(`countersign-failure: ${reason}`, 'i');

describe('by the responder that the certificate names', () => {
  test('a good server is asked about once for all connections, before the first octet of a call', async () => {
    const { lab, ca, apply, pay } = await open(asksResponder);
    await using _ = lab;
    await apply(strict);
    assert.deepEqual(
      (await Promise.all([pay(), pay(), pay()])).map((text) => PAID.test(text)),
      [true, true, true],
    );
    await apply({ ...strict, drainMs: 301 });
    assert.match(await pay(), PAID);
    assert.equal(ca.asked, 1);
  });

  for (const [status, more, expected] of [
    ['revoked', strict, failure('revoked')],
    ['unknown', strict, failure('status-unknown')],
    ['away', strict, failure('status-unknown')],
    ['unknown', lenient, PAID],
    ['away', lenient, PAID],
    ['revoked', observed, PAID],
    ['away', observed, PAID],
    ['revoked', {}, PAID],
  ] as const) {
    const demand = more === strict ? 'refuse' : more === lenient ? 'accept' : more === observed ? 'observe' : 'off';
    test(`a CA that says ${status} and a demand of ${demand}: ${expected.source}`, async () => {
      const { lab, ca, apply, pay } = await open(asksResponder);
      await using _ = lab;
      ca.status = status;
      await apply(more);
      assert.match(await pay(), expected);
      if (demand === 'off') assert.equal(ca.asked, 0);
    });
  }

  test('where nobody waits, what is found ends the connection that was made meanwhile, and no other is made', async () => {
    const { lab, ca, apply } = await open(asksResponder);
    await using _ = lab;
    ca.status = 'revoked';
    await apply(lenient);
    const caller = connectTcp(lab.portOf(0), '127.0.0.1');
    caller.on('error', () => {});
    // The first may be answered before its server has fallen; each goes over the connection that is there.
    for (let text = ''; !failure('revoked').test(text);) {
      caller.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      text = String((await once(caller, 'data'))[0]);
    }
    caller.destroy();
  });

  test('what is only observed is counted', async () => {
    const { lab, ca, apply, pay, wouldRefuse } = await open(asksResponder);
    await using _ = lab;
    ca.status = 'revoked';
    await apply(observed);
    assert.match(await pay(), PAID);
    const reasons = wouldRefuse();
    while (reasons.length === 0) {
      await new Promise((resolve) => setImmediate(resolve));
      reasons.push(...wouldRefuse());
    }
    assert.deepEqual(reasons, ['revoked']);
  });

  test('nobody is asked outside of the ranges: by default the public internet, and nothing of this machine', async () => {
    const { lab, ca, apply, pay } = await open(asksResponder);
    await using _ = lab;
    for (const statusFrom of [[], ['10.0.0.0/8']]) {
      await apply({ ...strict, statusFrom });
      assert.match(await pay(), failure('status-unknown'));
    }
    assert.equal(ca.asked, 0);
  });
});

const good = (web: TestAuthority, leaf: Certificate) => web.answerAbout(leaf);

const ended = (web: TestAuthority, leaf: Certificate) =>
  web.answerAbout(leaf, { thisUpdate: Date.now() - 2 * DAY_MS, nextUpdate: Date.now() - DAY_MS });

const staples =
  (answer: (web: TestAuthority, leaf: Certificate) => Uint8Array, more: TestLeaf = {}) =>
  (web: TestAuthority, ocspUri: string) => ({
    leaf: { ocspUri, ...more },
    staple: (leaf: Certificate) => answer(web, leaf),
  });

describe('by what the server staples', () => {
  const must: TestLeaf = { mustStaple: true };

  test('a good staple spares the question, also where it has to be there', async () => {
    for (const leaf of [{}, must]) {
      const { lab, ca, apply, pay } = await open(staples(good, leaf));
      await using _ = lab;
      ca.status = 'away';
      await apply(strict);
      assert.match(await pay(), PAID);
      assert.equal(ca.asked, 0);
    }
  });

  test('one that says revoked is believed, whatever the responder says by now', async () => {
    const { lab, ca, apply, pay } = await open(staples((web, leaf) => web.answerAbout(leaf, { status: statusOf('revoked') })));
    await using _ = lab;
    await apply(lenient);
    assert.match(await pay(), failure('revoked'));
    assert.equal(ca.asked, 0);
  });

  const worthless: readonly (readonly [string, (web: TestAuthority, leaf: Certificate) => Uint8Array])[] = [
    ['ended', ended],
    ['of tomorrow', (web, leaf) => web.answerAbout(leaf, { thisUpdate: Date.now() + DAY_MS, nextUpdate: Date.now() + 2 * DAY_MS })],
    ['about another certificate', (web) => web.answerAbout(web.issue({ dnsNames: [NAME] }).certificate)],
    ['of a stranger', (_web, leaf) => makeTestAuthority(Date.now(), 'Evil').answerAbout(leaf)],
    ['garbage', () => Uint8Array.of(1, 2, 3)],
  ];
  for (const [name, answer] of worthless) {
    test(`a staple that is ${name} is as none: the CA is asked, and who has to staple is refused`, async () => {
      const asked = await open(staples(answer));
      await using _asked = asked.lab;
      await asked.apply(strict);
      assert.match(await asked.pay(), PAID);
      assert.equal(asked.ca.asked, 1);
      const bound = await open(staples(answer, must));
      await using _bound = bound.lab;
      await bound.apply(lenient);
      assert.match(await bound.pay(), failure('status-unknown'));
    });
  }

  test('who has to staple and does not is refused even where unknown is let pass, and counted where that is only observed', async () => {
    const { lab, apply, pay, wouldRefuse } = await open((_web, ocspUri) => ({ leaf: { ocspUri, ...must } }));
    await using _ = lab;
    await apply(lenient);
    assert.match(await pay(), failure('status-unknown'));
    await apply(observed);
    assert.match(await pay(), PAID);
    assert.deepEqual(wouldRefuse(), ['status-unknown']);
    await apply({});
    assert.match(await pay(), PAID, 'where nothing is checked this is not either');
  });
});

test('settings are refused that speak of a check that is none, or that this version does not know', async () => {
  const { lab, apply } = await open(asksResponder);
  await using _ = lab;
  for (const more of [
    { refusesUnknownStatus: true },
    { statusFrom: ['10.0.0.0/8'] },
    { statusCheck: 9 as StatusCheck },
    { ...strict, statusFrom: ['ten'] },
  ])
    assert.equal((await apply(more)).kind, 'refused', JSON.stringify(more));
});

async function call(web: TestAuthority, port: number, more: More): Promise<string> {
  await using lab = new ProxyLab(STOREFRONT);
  const outbound = outboundTo([port], Origination.TLS, { serverName: NAME, serverAnchors: [web.root.der], ...more });
  await lab.apply({ spiffeId: STOREFRONT, outbound: [outbound] });
  // Awaited before the lab is taken down.
  return await callInClear(lab.portOf(0), 'GET /paid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
}

describe('OpenSSL as the other side', { skip }, () => {
  test('its responder is understood, its server is called, and what it says revoked is refused', async () => {
    await using peers = new OpensslPeers(folder);
    const { ocspUri, start } = await peers.responder();
    const [good, fallen, strange] = [1, 2, 3].map(() => peers.web.issue({ dnsNames: [NAME], ocspUri })) as [
      TestCredential,
      TestCredential,
      TestCredential,
    ];
    await start([
      { certificate: good.certificate, status: 'V' },
      { certificate: fallen.certificate, status: 'R' },
    ]);
    assert.match(await call(peers.web, await peers.server(good), strict), PAID);
    assert.match(await call(peers.web, await peers.server(fallen), strict), failure('revoked'));
    assert.match(await call(peers.web, await peers.server(strange), strict), failure('status-unknown'));
  });

  test('a staple of its responder that names no next update could be shown for ever, so it is as none', async () => {
    await using peers = new OpensslPeers(folder);
    const { web } = peers;
    const { ocspUri, start } = await peers.responder();
    const credential = web.issue({ dnsNames: [NAME] });
    await start([{ certificate: credential.certificate, status: 'V' }], []);
    const hashes = { hash: 'sha1', issuer: issuerHashesOf(web.issuing, 'sha1'), serial: credential.certificate.serial } as const;
    const body = Buffer.from(buildOcspRequest([hashes]));
    const answer = await fetch(ocspUri, { method: 'POST', headers: { 'Content-Type': 'application/ocsp-request' }, body });
    const staple = await peers.file('endless', new Uint8Array(await answer.arrayBuffer()));
    assert.match(await call(web, await peers.server(credential, ['-status_file', staple]), strict), failure('status-unknown'));
  });

  test('a staple of its server (-status_file) is enough where nobody else can be asked, in both versions', async () => {
    await using peers = new OpensslPeers(folder);
    const credential = peers.web.issue({ dnsNames: [NAME], mustStaple: true });
    const staple = await peers.file('staple', peers.web.answerAbout(credential.certificate));
    for (const version of ['-tls1_2', '-tls1_3']) {
      assert.match(await call(peers.web, await peers.server(credential, ['-status_file', staple, version]), strict), PAID, version);
      assert.match(await call(peers.web, await peers.server(credential, [version]), strict), failure('status-unknown'), version);
    }
  });
});
