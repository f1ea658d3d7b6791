import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, unlink, writeFile } from 'node:fs/promises';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createServer, type TLSSocket } from 'node:tls';
import { type Outbound, Origination } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { HOUR_MS } from '../../core/time/instant.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { ManualClock } from '../../platform/clock/clock.ts';
import { pemOf } from '../../../test/support/endpoints.ts';
import { hasOpenssl } from '../../../test/support/openssl.ts';
import { OpensslPeers } from '../../../test/support/openssl-peers.ts';
import { callInClear, chainPemOf, keyPemOf, loopback, outboundTo, ProxyLab, STOREFRONT } from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority, type TestCredential } from '../../../test/support/test-authority.ts';
import { watchClientCertificates } from '../tls/watch-client-certificates.ts';

const skip = (await hasOpenssl()) ? false : 'openssl is missing';
const BANK = 'api.bank.example';
const SHOP = 'api.shop.example';
const folder = await mkdtemp(join(tmpdir(), 'countersign-held-'));
after(() => rm(folder, { recursive: true }));

const file = join(folder, `${BANK}.pem`);
const hold = (credential: TestCredential): Promise<void> =>
  writeFile(file, `${keyPemOf(credential)}${chainPemOf(credential)}`, { mode: 0o600 });

/** Two third parties that ask for a certificate, and what each was shown. */
async function open(clock = new ManualClock(Date.now())) {
  const lab = new ProxyLab(STOREFRONT, undefined, clock);
  const web = makeTestAuthority(clock.now(), 'Web');
  const bank = makeTestAuthority(clock.now(), 'Bank');
  const shown: (readonly [name: string, serial: string])[] = [];
  const serve = async (name: string): Promise<number> => {
    const sockets = new Set<Socket>();
    const server = createServer(
      { ...pemOf(web.issue({ dnsNames: [name] })), requestCert: true, rejectUnauthorized: false },
      (socket: TLSSocket) => {
        sockets.add(socket);
        socket.on('error', () => {});
        shown.push([name, socket.getPeerX509Certificate()?.serialNumber.toLowerCase() ?? 'nothing']);
        socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npaid'));
      },
    );
    server.on('tlsClientError', () => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    lab.onClose(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    return (server.address() as AddressInfo).port;
  };
  const to = (serverName: string, port: number, listen: number): Outbound =>
    outboundTo([port], Origination.TLS, {
      serverName,
      serverAnchors: [web.root.der],
      showsHeldCertificate: true,
      endpointId: serverName,
      endpointName: serverName,
      listen: { address: { case: 'internet', value: { ip: '127.0.0.1', port: listen } } },
    });
  const ports = { [BANK]: await serve(BANK), [SHOP]: await serve(SHOP) } as const;
  const call = async (name: typeof BANK | typeof SHOP): Promise<string> => {
    await lab.apply({ spiffeId: STOREFRONT, outbound: [to(name, ports[name], 0)] });
    return callInClear(lab.portOf(0), 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  };
  return { lab, bank, shown, call, clock };
}

const failure = (reason: string) => new RegExp(`countersign-failure: ${reason}`, 'i');
const serialOf = ({ certificate }: TestCredential): string => certificate.serialHex;

test('the certificate that is held for a server is shown to that one alone, and its successor as soon as it is there', async () => {
  const { lab, bank, shown, call } = await open();
  await using _ = lab;
  assert.match(await call(BANK), failure('no-certificate'));
  const first = bank.issue({ dnsNames: ['acme.example'], usages: ['client'] });
  await hold(first);
  const applied = new EventTarget();
  using _watch = await watchClientCertificates(
    folder,
    async (held) => {
      await lab.proxy.applyClientCertificates(held);
      applied.dispatchEvent(new Event('applied'));
    },
    () => {},
  );
  assert.match(await call(BANK), /paid/);
  assert.match(await call(SHOP), failure('no-certificate'));
  const second = bank.issue({ dnsNames: ['acme.example'], usages: ['client'] });
  const renewed = once(applied, 'applied');
  await hold(second);
  await renewed;
  assert.match(await call(BANK), /paid/);
  assert.deepEqual(shown, [
    [BANK, serialOf(first)],
    [BANK, serialOf(second)],
  ]);
  const gone = once(applied, 'applied');
  await unlink(file);
  await gone;
  assert.match(await call(BANK), failure('no-certificate'));
});

test('a broken file leaves what it held in force, and ends the start', async () => {
  const { lab, bank, call } = await open();
  await using _ = lab;
  await hold(bank.issue({ dnsNames: ['acme.example'], usages: ['client'] }));
  const told = Promise.withResolvers<string>();
  using _watch = await watchClientCertificates(
    folder,
    (held) => lab.proxy.applyClientCertificates(held),
    (level, _event, fields) => void (level === 'warn' && told.resolve(String(fields?.['reasons']))),
  );
  await writeFile(file, 'half a fi');
  assert.match(await told.promise, new RegExp(`${BANK}\\.pem: `));
  assert.match(await call(BANK), /paid/);
  await assert.rejects(
    watchClientCertificates(
      folder,
      async () => {},
      () => {},
    ),
    { code: 'input-invalid' },
  );
  await unlink(file);
});

test('past its end it is not shown, and the server not called', async () => {
  const { lab, bank, shown, call, clock } = await open();
  await using _ = lab;
  await hold(bank.issue({ dnsNames: ['acme.example'], usages: ['client'], notAfter: clock.now() + HOUR_MS }));
  using _watch = await watchClientCertificates(
    folder,
    (held) => lab.proxy.applyClientCertificates(held),
    () => {},
  );
  assert.match(await call(BANK), /paid/);
  clock.advance(HOUR_MS + 1_000);
  await lab.apply({ spiffeId: STOREFRONT });
  assert.match(await call(BANK), failure('expired'));
  assert.equal(shown.length, 1);
  await unlink(file);
});

test('settings that would show two certificates are refused', async () => {
  const { lab } = await open();
  await using _ = lab;
  const both = {
    serverName: BANK,
    serverAnchors: [lab.authority.root.der],
    showsCertificate: true,
    showsHeldCertificate: true,
    listen: loopback(0),
  };
  assert.equal((await lab.apply({ spiffeId: STOREFRONT, outbound: [outboundTo([1], Origination.TLS, both)] })).kind, 'refused');
});

test('OpenSSL’s server that demands a certificate of its CA takes that one, and not the one of our identity', { skip }, async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'countersign-bank-'));
  await using peers = new OpensslPeers(scratch);
  await writeFile(join(scratch, 'paid'), 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npaid');
  const bank = makeTestAuthority(Date.now(), 'Bank');
  const clients = await peers.file('clients', encodePem('CERTIFICATE', bank.root.der));
  const demands = ['-Verify', '3', '-verify_return_error', '-CAfile', clients];
  const server = peers.web.issue({ dnsNames: [BANK] });
  await hold(bank.issue({ dnsNames: ['acme.example'], usages: ['client'] }));
  for (const version of ['-tls1_2', '-tls1_3']) {
    const port = await peers.server(server, [...demands, version]);
    for (const [more, expected] of [
      [{ showsHeldCertificate: true }, /paid/],
      [{ showsCertificate: true }, /^HTTP\/1\.1 50/],
      [{}, /^HTTP\/1\.1 50/],
    ] as const) {
      await using lab = new ProxyLab(STOREFRONT);
      using _watch = await watchClientCertificates(
        folder,
        (held) => lab.proxy.applyClientCertificates(held),
        () => {},
      );
      const outbound = outboundTo([port], Origination.TLS, { serverName: BANK, serverAnchors: [peers.web.root.der], ...more });
      await lab.apply({ spiffeId: STOREFRONT, outbound: [outbound] });
      assert.match(await callInClear(lab.portOf(0), 'GET /paid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'), expected, version);
    }
  }
  await unlink(file);
  await rm(scratch, { recursive: true });
});
