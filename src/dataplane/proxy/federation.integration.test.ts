import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request as httpRequest } from 'node:http';
import { type AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { Mode, Origination } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import {
  callOverTls,
  chainPemOf,
  clientOptions,
  inboundTo,
  keyPemOf,
  ORDERS,
  outboundTo,
  ProxyLab,
  STOREFRONT,
} from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority, type TestAuthority, type TestCredential } from '../../../test/support/test-authority.ts';

const PARTNER = 'partner.example';
const SHOP = parseSpiffeId(`spiffe://${PARTNER}/shop`);
const [partner, later, stranger] = ['Partner', 'Partner Two', 'Stranger'].map((name) => makeTestAuthority(Date.now(), name)) as [
  TestAuthority,
  TestAuthority,
  TestAuthority,
];
const callers = [STOREFRONT, SHOP].map((spiffeId, index) => ({ pathId: `path_${index}`, spiffeId, mode: Mode.ENFORCE }));
const OK = /^HTTP\/1\.1 200 /;

async function openReceiver(federated: readonly string[] = [PARTNER]) {
  const lab = new ProxyLab();
  const origin = await lab.origin();
  await lab.proxy.applyTrustBundle(lab.bundle());
  await lab.proxy.applyFederatedBundles([lab.foreignBundle(PARTNER, partner)]);
  assert.deepEqual(await lab.apply({ federated, inbound: [inboundTo(origin.port, 'enforce', { callers })] }), { kind: 'accepted' });
  return { lab, origin, port: lab.portOf(0) };
}

const call = async (port: number, credential: TestCredential): Promise<string> => (await callOverTls(port, clientOptions(credential))).text;

describe('a caller of another trust domain', () => {
  test('is let in by the bundle of its domain, and its identity told to the service; ours goes on by ours', async () => {
    const { lab, origin, port } = await openReceiver();
    await using _ = lab;
    assert.match(await call(port, partner.issue({ uris: [SHOP] })), OK);
    assert.match(await call(port, lab.authority.issue({ uris: [STOREFRONT] })), OK);
    assert.match(origin.requests[0]!.rawHeaders.join(' '), /URI=spiffe:\/\/partner\.example\/shop/);
  });

  for (const [name, credential, reason] of [
    ['its name under our authority', (lab: ProxyLab) => lab.authority.issue({ uris: [SHOP] }), 'crossed-trust-domain'],
    ['our name under its authority', () => partner.issue({ uris: [STOREFRONT] }), 'crossed-trust-domain'],
    ['a third domain under its authority', () => partner.issue({ uris: ['spiffe://third.example/shop'] }), 'crossed-trust-domain'],
    ['its name under a strange authority', () => stranger.issue({ uris: [SHOP] }), 'unknown-authority'],
    ['another name of its domain', () => partner.issue({ uris: [`spiffe://${PARTNER}/other`] }), 'wrong-identity'],
    ['two names', () => partner.issue({ uris: [SHOP, STOREFRONT] }), 'unknown-authority'],
  ] as const) {
    test(`is refused with ${name}, without an octet to the service`, async () => {
      const { lab, origin, port } = await openReceiver();
      await using _ = lab;
      assert.equal(await call(port, credential(lab)), '');
      assert.equal(origin.octets, 0);
      assert.deepEqual(
        lab.refusals().map((refusal) => refusal.reason),
        [reason],
      );
    });
  }

  test('is refused where the settings do not name its domain, whatever bundles are here', async () => {
    const { lab, port } = await openReceiver([]);
    await using _ = lab;
    assert.equal(await call(port, partner.issue({ uris: [SHOP] })), '');
    assert.deepEqual(
      lab.refusals().map((refusal) => refusal.reason),
      ['unknown-authority'],
    );
  });

  test('is refused once it is suspended, or its certificate revoked', async () => {
    const { lab, port } = await openReceiver();
    await using _ = lab;
    const credential = partner.issue({ uris: [SHOP] });
    assert.match(await call(port, credential), OK);
    lab.revoke({ suspended: [SHOP] });
    assert.equal(await call(port, credential), '');
    assert.deepEqual(
      lab.refusals().map((refusal) => refusal.reason),
      ['suspended'],
    );
  });
});

describe('what is taken back of another trust domain is refused at once:', () => {
  const takenBack: readonly (readonly [string, (lab: ProxyLab) => Promise<unknown>])[] = [
    ['its bundle', (lab) => lab.proxy.applyFederatedBundles([])],
    ['all its authorities', (lab) => lab.proxy.applyFederatedBundles([lab.foreignBundle(PARTNER)])],
    ['the authority of the caller', (lab) => lab.proxy.applyFederatedBundles([lab.foreignBundle(PARTNER, later)])],
  ];
  for (const [name, takeBack] of takenBack) {
    test(`${name}, on open and resumed connections`, async () => {
      const { lab, origin, port } = await openReceiver();
      await using _ = lab;
      const credential = partner.issue({ uris: [SHOP] });
      const first = await callOverTls(port, clientOptions(credential));
      assert.match(first.text, OK);
      const open = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...clientOptions(credential) });
      open.on('error', () => {});
      await once(open, 'secureConnect');
      open.write('GET / HTTP/1.1\r\nHost: orders\r\n\r\n');
      const [answer] = (await once(open, 'data')) as [Buffer];
      assert.match(answer.toString('latin1'), OK);
      const ours = connectTls({
        host: '127.0.0.1',
        port,
        rejectUnauthorized: false,
        ...clientOptions(lab.authority.issue({ uris: [STOREFRONT] })),
      });
      await once(ours, 'secureConnect');
      const before = origin.octets;
      assert.deepEqual(await takeBack(lab), { kind: 'accepted' });
      await once(open, 'close');
      const again = await callOverTls(port, { ...clientOptions(credential), session: first.session! });
      assert.equal(again.resumed, false, 'no ticket outlives the trust under which it was made');
      assert.equal(again.text, '');
      assert.equal(origin.octets, before);
      ours.write('GET / HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n');
      const [own] = (await once(ours, 'data')) as [Buffer];
      assert.match(own.toString('latin1'), OK, 'those of our own domain go on');
      ours.destroy();
    });
  }

  test('a new authority beside the old one disturbs nobody', async () => {
    const { lab, port } = await openReceiver();
    await using _ = lab;
    const open = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...clientOptions(partner.issue({ uris: [SHOP] })) });
    await once(open, 'secureConnect');
    await lab.proxy.applyFederatedBundles([lab.foreignBundle(PARTNER, partner, later)]);
    open.write('GET / HTTP/1.1\r\nHost: orders\r\n\r\n');
    const [answer] = (await once(open, 'data')) as [Buffer];
    assert.match(answer.toString('latin1'), OK);
    open.destroy();
    assert.match(await call(port, later.issue({ uris: [SHOP] })), OK);
  });

  for (const [name, bundles] of [
    ['our own domain', (lab: ProxyLab) => [lab.foreignBundle('acme.example', partner)]],
    ['a domain twice', (lab: ProxyLab) => [lab.foreignBundle(PARTNER, partner), lab.foreignBundle(PARTNER, later)]],
  ] as const) {
    test(`a bundle of ${name} is refused, and what was in force stays`, async () => {
      const { lab, port } = await openReceiver();
      await using _ = lab;
      assert.equal((await lab.proxy.applyFederatedBundles(bundles(lab))).kind, 'refused');
      assert.match(await call(port, partner.issue({ uris: [SHOP] })), OK);
      assert.equal(await call(port, later.issue({ uris: [SHOP] })), '');
    });
  }
});

async function openCaller(credential: TestCredential) {
  const lab = new ProxyLab(STOREFRONT);
  const sockets = new Set<TLSSocket>();
  const seen: (string | undefined)[] = [];
  const server = createTlsServer({
    cert: chainPemOf(credential),
    key: keyPemOf(credential),
    requestCert: true,
    rejectUnauthorized: false,
  });
  server.on('secureConnection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', () => {
      seen.push(socket.getPeerX509Certificate()?.subjectAltName);
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    });
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  lab.onClose(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await lab.proxy.applyTrustBundle(lab.bundle());
  await lab.proxy.applyFederatedBundles([lab.foreignBundle(PARTNER, partner)]);
  const { port } = server.address() as AddressInfo;
  const outbound = [outboundTo([port], Origination.MTLS, { serverSpiffeId: SHOP })];
  assert.deepEqual(await lab.apply({ spiffeId: STOREFRONT, federated: [PARTNER], outbound }), { kind: 'accepted' });
  return { lab, seen };
}

describe('a server of another trust domain', () => {
  const agent = new Agent({ keepAlive: true });
  async function ask(port: number): Promise<{ readonly status: number; readonly failure: string | undefined }> {
    const outgoing = httpRequest({ host: '127.0.0.1', port, agent });
    outgoing.end();
    const [answer] = (await once(outgoing, 'response')) as [import('node:http').IncomingMessage];
    answer.resume();
    await once(answer, 'end');
    return { status: answer.statusCode!, failure: answer.headers['countersign-failure'] as string | undefined };
  }

  test('is called under its own bundle, and shown our certificate', async () => {
    const { lab, seen } = await openCaller(partner.issue({ uris: [SHOP] }));
    await using _ = lab;
    assert.equal((await ask(lab.portOf(0))).status, 200);
    assert.deepEqual(seen, [`URI:${STOREFRONT}`]);
  });

  for (const [name, credential, reason] of [
    ['under a strange authority', () => stranger.issue({ uris: [SHOP] }), 'unknown-authority'],
    ['with another name of its domain', () => partner.issue({ uris: [`spiffe://${PARTNER}/other`] }), 'wrong-identity'],
    ['with a name of ours under its authority', () => partner.issue({ uris: [ORDERS] }), 'crossed-trust-domain'],
  ] as const) {
    test(`gets no octet ${name}`, async () => {
      const { lab, seen } = await openCaller(credential());
      await using _ = lab;
      assert.deepEqual(await ask(lab.portOf(0)), { status: 502, failure: reason });
      assert.deepEqual(seen, []);
    });
  }

  test('gets no further call once its authority is taken back', async () => {
    const { lab, seen } = await openCaller(partner.issue({ uris: [SHOP] }));
    await using _ = lab;
    assert.equal((await ask(lab.portOf(0))).status, 200);
    await lab.proxy.applyFederatedBundles([lab.foreignBundle(PARTNER)]);
    assert.deepEqual(await ask(lab.portOf(0)), { status: 502, failure: 'unknown-authority' });
    assert.equal(seen.length, 1);
  });
});
