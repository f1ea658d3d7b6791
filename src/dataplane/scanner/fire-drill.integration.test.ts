import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import type { TlsOptions } from 'node:tls';
import {
  closedAddress,
  type Endpoint,
  openHttpEndpoint,
  openTcpEndpoint,
  openTlsEndpoint,
  pemOf,
} from '../../../test/support/endpoints.ts';
import { makeTestAuthority, type TestCredential } from '../../../test/support/test-authority.ts';
import { type Credential, type DrillShot, fireDrill } from './fire-drill.ts';

const authority = makeTestAuthority(Date.now());
const server = authority.issue({ ips: ['127.0.0.1'], usages: ['server'] });
const probe = toCredential(authority.issue({ uris: ['spiffe://acme.test/production/countersign/probe'] }));
/** Demands a certificate of the test's authority, as an enforcing endpoint does. */
const demanding: TlsOptions = { ...pemOf(server), ca: [pemOfRoot()], requestCert: true, rejectUnauthorized: true };
const TIMEOUT_MS = 10_000;
/** For what never answers. */
const SHORT_MS = 400;

function shotAt({ address }: Pick<Endpoint, 'address'>, changes: Partial<DrillShot> = {}): DrillShot {
  return { kind: 'positive', address, credential: probe, speech: 'http/1.1', timeoutMs: TIMEOUT_MS, ...changes };
}

describe('fireDrill() over TLS', () => {
  for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
    test(`is answered over ${version} by who accepts its certificate, and tells what was served`, async () => {
      await using endpoint = await openTlsEndpoint({ ...demanding, minVersion: version, maxVersion: version });
      const sight = await fireDrill(shotAt(endpoint));
      assert.equal(sight.seen, 'answered');
      assert.equal(sight.statusLine, 'HTTP/1.1 200 OK');
      assert.equal(sight.octetsAnswered, 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'.length);
      assert.equal(Buffer.from(sight.servedSerial!).toString('hex'), server.certificate.serialHex);
      assert.equal(sight.resumed, false);
      assert.ok(sight.session !== null && sight.session.length > 0);
    });

    test(`resumes a session over ${version}`, async () => {
      await using endpoint = await openTlsEndpoint({ ...demanding, minVersion: version, maxVersion: version });
      const { session } = await fireDrill(shotAt(endpoint));
      const sight = await fireDrill(shotAt(endpoint, { session: session! }));
      assert.deepEqual([sight.seen, sight.resumed], ['answered', true]);
    });
  }

  const stranger = makeTestAuthority(Date.now(), 'Stranger').issue({ uris: ['spiffe://acme.test/production/countersign/probe'] });
  const expired = authority.issue({
    uris: ['spiffe://acme.test/x/y'],
    notBefore: Date.now() - 7_200_000,
    notAfter: Date.now() - 3_600_000,
  });
  // Alerts are known by their number (RFC 8446 section 6), whatever text OpenSSL gives them. Node ends a connection whose certificate it
  // does not accept without one.
  const closed = /^(closed|error:EPIPE|error:ECONNRESET)$/;
  const refusals = [
    { name: 'no certificate', shot: { kind: 'no-certificate', credential: null }, seen: /^alert:116$/ },
    { name: 'one of an unknown authority', shot: { kind: 'unknown-authority', credential: toCredential(stranger) }, seen: closed },
    { name: 'an expired one', shot: { kind: 'expired', credential: toCredential(expired) }, seen: closed },
    { name: 'a version that is too old', shot: { kind: 'tls-1.1' }, seen: /^alert:70$/ },
  ] as const;
  for (const { name, shot, seen } of refusals) {
    test(`sees how ${name} is refused, and that its octets had left`, async () => {
      await using endpoint = await openTlsEndpoint(demanding);
      const sight = await fireDrill(shotAt(endpoint, shot));
      assert.match(sight.seen, seen);
      assert.equal(sight.octetsAnswered, 0);
      assert.ok(sight.octetsSent >= 64);
      assert.equal(sight.firstOctetsSha256?.length, 32);
    });
  }

  test('really speaks TLS 1.1: who still takes it answers', async () => {
    await using endpoint = await openTlsEndpoint({ ...demanding, minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' });
    assert.equal((await fireDrill(shotAt(endpoint, { kind: 'tls-1.1' }))).seen, 'answered');
  });

  test('is not fooled by a handshake that ends well: in TLS 1.3 only the answer tells', async () => {
    await using endpoint = await openTlsEndpoint({ ...demanding, minVersion: 'TLSv1.3' });
    const sight = await fireDrill(shotAt(endpoint, { kind: 'no-certificate', credential: null }));
    assert.equal(
      Buffer.from(sight.servedSerial!).toString('hex'),
      server.certificate.serialHex,
      'the client side of the handshake had ended',
    );
    assert.equal(sight.octetsAnswered, 0);
  });

  test('knows its connection by the octets that the other side received', async () => {
    await using endpoint = await openTlsEndpoint(demanding);
    await using relay = await openRelay(endpoint);
    const sight = await fireDrill(shotAt(relay));
    assert.equal(sight.seen, 'answered');
    assert.deepEqual(sight.firstOctetsSha256, digestOf(relay.received()));
    assert.ok(sight.octetsSent >= relay.received().length, 'what was received had left');
  });

  test('sees a connection that is closed without a word, and counts nothing as an answer', async () => {
    await using endpoint = await openTcpEndpoint((socket) => socket.once('data', () => socket.destroy()));
    const sight = await fireDrill(shotAt(endpoint));
    assert.match(sight.seen, /^(closed|error:ECONNRESET)$/);
    assert.equal(sight.octetsAnswered, 0);
    assert.equal(sight.servedSerial, null);
  });
});

describe('fireDrill() in plaintext', () => {
  test('puts the nonce within the first 64 octets, another one each time', async () => {
    await using endpoint = await openHttpEndpoint();
    const digests = new Set<string>();
    for (let count = 0; count < 3; count++) {
      await using relay = await openRelay(endpoint);
      const sight = await fireDrill(shotAt(relay, { kind: 'plaintext', credential: null }));
      const head = relay.received().subarray(0, 64).toString('latin1');
      assert.match(head, /^GET \/\.well-known\/countersign\/probe\?n=[0-9a-f]{24} /);
      assert.deepEqual(sight.firstOctetsSha256, digestOf(relay.received()));
      digests.add(sight.firstOctetsSha256!.toString('hex'));
      assert.deepEqual([sight.seen, sight.statusLine, sight.servedSerial], ['answered', 'HTTP/1.1 200 OK', null]);
    }
    assert.equal(digests.size, 3);
  });

  test('counts every octet of an answer and keeps little of it', async () => {
    await using endpoint = await openTcpEndpoint((socket) => socket.once('data', () => socket.end('x'.repeat(1_000_000))));
    const sight = await fireDrill(shotAt(endpoint, { kind: 'plaintext', credential: null }));
    assert.deepEqual([sight.octetsAnswered, sight.statusLine.length], [1_000_000, 100]);
  });

  test('sees that it was closed without an answer', async () => {
    await using endpoint = await openTcpEndpoint((socket) => socket.once('data', () => socket.end()));
    const sight = await fireDrill(shotAt(endpoint, { kind: 'plaintext', credential: null }));
    assert.deepEqual([sight.seen, sight.octetsAnswered], ['closed', 0]);
    assert.ok(sight.octetsSent >= 64);
  });
});

for (const kind of ['positive', 'plaintext'] as const) {
  test(`fireDrill() of ${kind} waits no longer than it was told, and its octets had left`, async () => {
    await using endpoint = await openTcpEndpoint();
    const sight = await fireDrill(shotAt(endpoint, { kind, timeoutMs: SHORT_MS }));
    assert.deepEqual([sight.seen, sight.octetsAnswered], ['timeout', 0]);
    assert.ok(sight.octetsSent >= 64);
  });

  test(`fireDrill() of ${kind} says of a closed port that nothing left`, async () => {
    const sight = await fireDrill(shotAt({ address: await closedAddress() }, { kind }));
    assert.deepEqual([sight.seen, sight.octetsSent, sight.firstOctetsSha256], ['error:ECONNREFUSED', 0, null]);
  });
}

/** Passes a connection on and keeps what the client sent. */
async function openRelay(to: Endpoint): Promise<Endpoint & { readonly received: () => Buffer }> {
  const chunks: Buffer[] = [];
  const relay = await openTcpEndpoint((socket) => {
    const onward = connect(to.address);
    onward.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.pipe(onward).pipe(socket);
  });
  return { ...relay, received: () => Buffer.concat(chunks), [Symbol.asyncDispose]: () => relay[Symbol.asyncDispose]() };
}

function digestOf(received: Buffer): Buffer {
  return createHash('sha256').update(received.subarray(0, 64)).digest();
}

function toCredential(credential: TestCredential): Credential {
  const { key, cert } = pemOf(credential);
  return { key, certificates: cert, serial: credential.certificate.serial };
}

function pemOfRoot(): string {
  return `-----BEGIN CERTIFICATE-----\n${Buffer.from(authority.root.der).toString('base64')}\n-----END CERTIFICATE-----\n`;
}
