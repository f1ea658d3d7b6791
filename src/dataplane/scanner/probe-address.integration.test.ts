import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { closedAddress, openHttpEndpoint, openTcpEndpoint, openTlsEndpoint, pemOf } from '../../../test/support/endpoints.ts';
import { alertRecord, certificateMessage, certificateRequest, handshakeRecord, serverHello } from '../../../test/support/tls-flight.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { type AddressFacts, probeAddress } from './probe-address.ts';

const authority = makeTestAuthority(Date.now());
const credential = authority.issue({
  uris: ['spiffe://acme.test/production/orders'],
  dnsNames: ['orders.acme.test'],
  ips: ['127.0.0.1'],
  usages: ['server'],
});
const pem = pemOf(credential);
const TIMEOUT_MS = 5_000;
/** For what never answers: long enough for a loaded machine to connect. */
const SHORT_MS = 300;

describe('probeAddress() of TLS servers', () => {
  const cases = [
    { name: 'TLS 1.3 and 1.2 that ask for no certificate', options: {}, versions: ['TLSv1.3', 'TLSv1.2'], demand: 'none' },
    { name: 'both that ask for one', options: { requestCert: true }, versions: ['TLSv1.3', 'TLSv1.2'], demand: 'requested' },
    { name: 'TLS 1.3 only', options: { minVersion: 'TLSv1.3' }, versions: ['TLSv1.3'], demand: 'none' },
    {
      name: 'TLS 1.3 only, which requires a certificate',
      options: { minVersion: 'TLSv1.3', requestCert: true, rejectUnauthorized: true },
      versions: ['TLSv1.3'],
      demand: 'requested',
    },
    { name: 'TLS 1.2 only', options: { maxVersion: 'TLSv1.2' }, versions: ['TLSv1.2'], demand: 'none' },
    {
      name: 'TLS 1.2 only that asks for one',
      options: { maxVersion: 'TLSv1.2', requestCert: true },
      versions: ['TLSv1.2'],
      demand: 'requested',
    },
    {
      name: 'everything down to TLS 1.0',
      options: { minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' },
      versions: ['TLSv1.3', 'TLSv1.2', 'TLSv1.1', 'TLSv1'],
      demand: 'none',
    },
  ] as const;
  for (const { name, options, versions, demand } of cases) {
    test(`tells versions, demand, chain and names of ${name}`, async () => {
      await using endpoint = await openTlsEndpoint({ ...pem, rejectUnauthorized: false, ...options });
      const { tls, ...facts } = await probeAddress(endpoint.address, TIMEOUT_MS);
      assert.deepEqual(facts, { address: `127.0.0.1:${endpoint.address.port}`, reachable: true, plaintextHttp: null });
      assert.deepEqual(tls?.versions, versions);
      assert.equal(tls.clientCertificate, demand);
      assert.equal(Buffer.from(tls.chain[0]!, 'base64').equals(credential.certificate.der), true);
      assert.match(tls.names, /URI:spiffe:\/\/acme\.test\/production\/orders/);
      assert.match(tls.names, /DNS:orders\.acme\.test/);
      assert.match(tls.issuer, /Test Issuing/);
      assert.equal(tls.notAfter, new Date(credential.certificate.notAfter).toISOString());
    });
  }

  test('tells group and suite of the newest version', async () => {
    await using endpoint = await openTlsEndpoint({
      ...pem,
      ecdhCurve: 'P-384',
      ciphers: 'TLS_CHACHA20_POLY1305_SHA256',
      minVersion: 'TLSv1.3',
    });
    const { tls } = await probeAddress(endpoint.address, TIMEOUT_MS);
    assert.equal(tls?.suite, 'TLS_CHACHA20_POLY1305_SHA256');
    assert.match(tls.group ?? '', /^(secp384r1|P-384)$/);
  });

  test('reads the demand of TLS 1.3 through a HelloRetryRequest', async () => {
    await using endpoint = await openTlsEndpoint({
      ...pem,
      ecdhCurve: 'P-521',
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
    });
    const { tls } = await probeAddress(endpoint.address, TIMEOUT_MS);
    assert.equal(tls?.clientCertificate, 'requested');
  });

  for (const suite of ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']) {
    test(`reads the demand of TLS 1.3 under ${suite}`, async () => {
      await using endpoint = await openTlsEndpoint({
        ...pem,
        ciphers: suite,
        requestCert: true,
        rejectUnauthorized: false,
        minVersion: 'TLSv1.3',
      });
      const { tls } = await probeAddress(endpoint.address, TIMEOUT_MS);
      assert.equal(tls?.suite, suite);
      assert.equal(tls.clientCertificate, 'requested');
    });
  }

  test('shows a TLS 1.2 server that requires a certificate and so ends the handshake', async () => {
    const ca = authority.root.der;
    await using endpoint = await openTlsEndpoint({
      ...pem,
      maxVersion: 'TLSv1.2',
      requestCert: true,
      rejectUnauthorized: true,
      ca: [Buffer.from(ca)],
    });
    const { tls } = await probeAddress(endpoint.address, TIMEOUT_MS);
    assert.deepEqual(tls?.versions, ['TLSv1.2']);
    assert.equal(tls.clientCertificate, 'requested');
    assert.equal(new X509Certificate(Buffer.from(tls.chain[0]!, 'base64')).serialNumber.toLowerCase(), credential.certificate.serialHex);
  });
});

describe('probeAddress() of everything else', () => {
  const none = { tls: null, plaintextHttp: null };

  test('tells the status line of plaintext HTTP', async () => {
    await using endpoint = await openHttpEndpoint();
    const facts = await probeAddress(endpoint.address, TIMEOUT_MS);
    assert.match(facts.plaintextHttp ?? '', /^HTTP\/1\.1 \d{3} /);
    assert.equal(facts.tls, null);
  });

  test('says of a closed port that it is not reachable', async () => {
    const facts = await probeAddress(await closedAddress(), TIMEOUT_MS);
    assert.equal(facts.reachable, false);
    assert.deepEqual({ ...facts, ...none }, facts);
  });

  test('says of a silent listener that it is reachable, and waits no longer than it was told', async () => {
    await using endpoint = await openTcpEndpoint();
    const facts = await probeAddress(endpoint.address, SHORT_MS);
    assert.deepEqual(facts, { address: `127.0.0.1:${endpoint.address.port}`, reachable: true, ...none });
  });

  const speakers: { readonly [name: string]: string | Buffer } = {
    'one that greets first, as SSH does': 'SSH-2.0-test\r\n',
    'one that says binary': Buffer.from([0, 255, 10, 13, 0]),
    'one that begins like HTTP and is not': 'HTTP/9 nonsense\r\n',
  };
  for (const [name, greeting] of Object.entries(speakers)) {
    test(`takes ${name} for neither HTTP nor TLS`, async () => {
      await using endpoint = await openTcpEndpoint((socket) => socket.end(greeting));
      const facts: AddressFacts = await probeAddress(endpoint.address, SHORT_MS);
      assert.deepEqual({ ...facts, ...none }, facts);
      assert.equal(facts.reachable, true);
    });
  }

  test('keeps at most 200 characters of an endless line', async () => {
    await using endpoint = await openTcpEndpoint((socket) => socket.end(`HTTP/1.1 200 ${'x'.repeat(1_000_000)}`));
    const facts = await probeAddress(endpoint.address, SHORT_MS);
    assert.equal(facts.plaintextHttp?.length, 200);
  });

  test('bears a server that shows octets which are no certificate', async () => {
    await using endpoint = await openTcpEndpoint((socket) => socket.once('data', () => socket.end(brokenFlight)));
    const facts = await probeAddress(endpoint.address, SHORT_MS);
    assert.equal(facts.tls?.clientCertificate, 'requested');
    assert.deepEqual([facts.tls.subject, facts.tls.names, facts.tls.notAfter], ['', '', '']);
  });

  test('writes an IPv6 address with brackets', async () => {
    const facts = await probeAddress({ host: '::1', port: (await closedAddress()).port }, SHORT_MS);
    assert.match(facts.address, /^\[::1\]:\d+$/);
  });
});

/** A server's flight of TLS 1.2 in the clear, with three octets where the certificate should be, and an alert at its end. */
const brokenFlight = Buffer.concat([handshakeRecord(serverHello, certificateMessage(Buffer.of(1, 2, 3)), certificateRequest), alertRecord]);

describe('probeAddress() of servers that speak HTTP/2 in the clear', () => {
  test('tells them by their SETTINGS', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const { plaintextHttp, tls } = await probeAddress({ host: '127.0.0.1', port }, TIMEOUT_MS);
    assert.deepEqual([plaintextHttp, tls], ['HTTP/2.0', null]);
    server.close();
  });

  test('takes an echo for none', async () => {
    await using endpoint = await openTcpEndpoint((socket) => void socket.pipe(socket));
    const { plaintextHttp } = await probeAddress(endpoint.address, SHORT_MS);
    assert.equal(plaintextHttp, null);
  });
});
