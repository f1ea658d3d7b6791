import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  alertRecord,
  certificateMessage,
  changeCipherSpec,
  handshakeRecord,
  serverHello,
  serverHelloDone,
} from '../../../test/support/tls-flight.ts';
import {
  chosenProtocol,
  readEncryptedExtensions,
  readServedCertificates,
  readServerFlight,
  readServerHello,
  readServerKeyExchange,
  readStatus,
  splitMessages,
} from './read-server-flight.ts';

const leaf = Buffer.from('leaf');
const flight = Buffer.concat([serverHello, certificateMessage(leaf, Buffer.from('issuer')), serverHelloDone]);
const typesOf = (octets: Uint8Array): number[] => readServerFlight(octets).messages.map(({ type }) => type);
/** HelloRetryRequest for P-256 (RFC 8446 section 4.1.4). */
const retry = Buffer.from(
  `0303cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c00130100${'000c'}002b00020304${'003300020017'}`,
  'hex',
);

test('readServerFlight() joins messages over records, wherever they are cut', () => {
  for (let at = 1; at < flight.length; at++) {
    assert.deepEqual(typesOf(Buffer.concat([handshakeRecord(flight.subarray(0, at)), handshakeRecord(flight.subarray(at))])), [2, 11, 14]);
  }
});

test('readServerFlight() ends at what is encrypted, at an alert, and at what is no TLS', () => {
  assert.deepEqual(typesOf(Buffer.concat([handshakeRecord(serverHello), changeCipherSpec, handshakeRecord(serverHelloDone)])), [2]);
  assert.deepEqual(readServerFlight(alertRecord), { messages: [], alert: 40, isTls: true });
  assert.equal(readServerFlight(Buffer.from('HTTP/1.1 400 Bad Request')).isTls, false);
  assert.equal(readServerFlight(Buffer.from([22, 2, 0])).isTls, false);
  assert.deepEqual(readServerFlight(Buffer.of(22)), { messages: [], alert: null, isTls: true });
});

test('readServerHello() reads the version, suite and group of TLS 1.2, TLS 1.3 and HelloRetryRequest', () => {
  const [old] = splitMessages(serverHello);
  const hello = readServerHello(old!.body);
  assert.deepEqual([hello?.version, hello?.suite, hello?.group, hello?.isRetry], [0x0303, 0xc02b, null, false]);
  const wanted = readServerHello(retry);
  assert.deepEqual([wanted?.version, wanted?.suite, wanted?.group, wanted?.isRetry], [0x0304, 0x1301, 0x0017, true]);
  for (let length = 0; length < retry.length; length++) {
    // A hello may end before its extensions, and nowhere else.
    assert.equal(readServerHello(retry.subarray(0, length)) === null, length !== retry.length - 14, `cut to ${length}`);
  }
});

test('readServerKeyExchange() tells a curve, a prime, and the scheme of TLS 1.2', () => {
  const curve = Buffer.from(`03001d20${'00'.repeat(32)}08040002aaaa`, 'hex');
  assert.deepEqual(readServerKeyExchange(curve, 'TLS_ECDHE_RSA_X', 0x0303), { group: 0x001d, primeBits: null, scheme: 0x0804 });
  assert.deepEqual(readServerKeyExchange(curve, 'TLS_ECDHE_RSA_X', 0x0302), { group: 0x001d, primeBits: null, scheme: null });
  assert.equal(readServerKeyExchange(Buffer.of(1, 2, 3), 'TLS_ECDHE_RSA_X', 0x0303).group, null, 'explicit parameters');
  for (const [prime, bits] of [
    ['01'.padEnd(256, '0'), 1017],
    [`ff${'00'.repeat(127)}`, 1024],
    [`00ff${'00'.repeat(127)}`, 1024],
  ] as const) {
    const octets = Buffer.from(`${(prime.length / 2).toString(16).padStart(4, '0')}${prime}0001020001030401`, 'hex');
    assert.deepEqual(readServerKeyExchange(octets, 'TLS_DHE_RSA_X', 0x0303), { group: null, primeBits: bits, scheme: 0x0401 });
  }
});

test('readServedCertificates() reads both forms, with the staple of TLS 1.3, and no more than it bears', () => {
  const [, body] = splitMessages(flight);
  assert.deepEqual(
    readServedCertificates(body!.body, 'tls-1.2').map(({ der }) => Buffer.from(der).toString()),
    ['leaf', 'issuer'],
  );
  const modern = Buffer.from('00000011000004' + leaf.toString('hex') + '0009000500050100000142', 'hex');
  modern.writeUIntBE(modern.length - 4, 1, 3);
  assert.deepEqual(readServedCertificates(modern, 'tls-1.3'), [{ der: new Uint8Array(leaf), staple: Uint8Array.of(0x42) }].map(asBuffers));
  const many = certificateMessage(...Array.from({ length: 50 }, () => leaf));
  assert.equal(readServedCertificates(many.subarray(4), 'tls-1.2').length, 20);
});

function asBuffers({ der, staple }: { der: Uint8Array; staple: Uint8Array }): { der: Buffer; staple: Buffer } {
  return { der: Buffer.from(der), staple: Buffer.from(staple) };
}

test('readers bear any octets, and give nothing that was not there', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (octets, older) => {
      readServerFlight(octets);
      readServerHello(octets);
      readServerKeyExchange(octets, older ? 'TLS_DHE_RSA_X' : 'TLS_ECDHE_RSA_X', 0x0303);
      readStatus(octets);
      const extensions = readEncryptedExtensions(octets);
      if (extensions !== null) chosenProtocol(extensions);
      for (const form of ['tls-1.2', 'tls-1.3'] as const) {
        const total = readServedCertificates(octets, form).reduce((sum, { der }) => sum + der.length, 0);
        assert.ok(total <= octets.length);
      }
    }),
  );
});
