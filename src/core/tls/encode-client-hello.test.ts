import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readClientHello } from './client-hello.ts';
import { encodeClientHello, type HelloOffer } from './encode-client-hello.ts';
import { protocolVersions } from './protocol-version.ts';

const offer: HelloOffer = {
  version: '1.2',
  suites: [0xc02b, 0x0005],
  groups: [0x11ec, 0x001d],
  signatureSchemes: [0x0403],
  certificateSchemes: [0x0403, 0x0201],
  serverName: 'orders.example',
  keyShares: [],
  random: Uint8Array.from({ length: 32 }, (_, at) => at),
  compression: [1, 0],
};

test('encodeClientHello() offers exactly what it is told, as our own reader reads it', () => {
  for (const version of ['1.0', '1.1', '1.2', '1.3'] as const) {
    const octets = encodeClientHello({ ...offer, version });
    const reading = readClientHello(octets);
    if (reading.kind !== 'complete') assert.fail(`${version}: ${JSON.stringify(reading)}`);
    const { hello, length } = reading;
    assert.equal(length, octets.length);
    assert.deepEqual(hello.versions, [protocolVersions[version]]);
    assert.deepEqual([hello.suites, hello.groups, hello.sni], [offer.suites, offer.groups, 'orders.example']);
    assert.deepEqual(Buffer.from(hello.random), Buffer.from(offer.random));
    assert.deepEqual([hello.hasTicket, hello.sessionIdLength], [false, version === '1.3' ? 32 : 0]);
  }
});

test('encodeClientHello() sends no server name where there is none', () => {
  const reading = readClientHello(encodeClientHello({ ...offer, serverName: null }));
  assert.equal(reading.kind === 'complete' && reading.hello.sni, null);
});

test('encodeClientHello() of SSL 3.0 ends with the compression methods (RFC 6101 section 5.6.1.2)', () => {
  const octets = encodeClientHello({ ...offer, version: 'SSL 3.0' });
  assert.equal(octets.subarray(0, 3).toString('hex'), '160300');
  assert.equal(octets.subarray(-3).toString('hex'), '020100');
  assert.equal(octets.length, 5 + 4 + 2 + 32 + 1 + 2 + 4 + 3);
});
