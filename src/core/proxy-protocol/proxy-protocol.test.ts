import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc32c } from './crc32c.ts';
import { readProxyHeader } from './read-proxy-header.ts';
import { writeV1Header, writeV2Header } from './write-proxy-header.ts';

const line = (text: string): Buffer => Buffer.from(text, 'latin1');
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');
const SIGNATURE = '0d0a0d0a000d0a515549540a';
const readLine = (text: string) => readProxyHeader(line(text));
const readV2 = (rest: string) => readProxyHeader(v2(rest));
/** 192.0.2.1:56324 to 198.51.100.7:443. */
const ADDRESSES = 'c0000201 c6336407 dc04 01bb';
const v2 = (rest: string): Buffer => hex(`${SIGNATURE}${rest}`);
const ENDS = { source: { host: '192.0.2.1', port: 56_324 }, destination: { host: '198.51.100.7', port: 443 } };
const ENDS6 = { source: { host: '2001:db8::1', port: 1 }, destination: { host: '2001:db8::2', port: 65_535 } };

test('CRC-32C has its published check value', () => {
  assert.equal(crc32c(Buffer.from('123456789')), 0xe306_9283);
});

test('lines of version 1 are read as the specification writes them', () => {
  assert.deepEqual(readLine('PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\nGET /'), {
    kind: 'complete',
    header: { version: 1, ends: ENDS },
    length: 45,
  });
  assert.deepEqual(readLine('PROXY UNKNOWN\r\n'), { kind: 'complete', header: { version: 1, ends: null }, length: 15 });
  const longest = `PROXY UNKNOWN ${'ffff:f...f:ffff '.repeat(6)}`.slice(0, 105);
  assert.deepEqual(readLine(`${longest}\r\n`), { kind: 'complete', header: { version: 1, ends: null }, length: 107 });
  assert.ok(readLine('PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n').kind === 'complete');
});

test('headers of version 2 are read: IPv4, IPv6, Unix, unspecified, LOCAL, and TLVs that nobody knows', () => {
  assert.deepEqual(readV2(`21 11 000c ${ADDRESSES} ff`), { kind: 'complete', header: { version: 2, ends: ENDS }, length: 28 });
  assert.deepEqual(readV2('21 00 0000'), { kind: 'complete', header: { version: 2, ends: null }, length: 16 });
  assert.deepEqual(readV2(`21 31 00d8 ${'2f'.repeat(216)}`), { kind: 'complete', header: { version: 2, ends: null }, length: 232 });
  assert.deepEqual(readV2(`20 11 000c ${ADDRESSES}`), { kind: 'complete', header: { version: 2, ends: null }, length: 28 });
  assert.ok(readV2(`21 11 0010 ${ADDRESSES} ee 0001 07`).kind === 'complete');
});

test('what is written is read again, in every form', () => {
  for (const ends of [ENDS, ENDS6, null]) {
    for (const octets of [writeV1Header(ends), writeV2Header(ends, null)]) {
      const reading = readProxyHeader(octets);
      assert.ok(reading.kind === 'complete' && reading.length === octets.length);
      assert.deepEqual(reading.header.ends, ends);
    }
  }
  const octets = writeV2Header(ENDS, {
    alpn: 'h2',
    serverName: 'orders.acme.test',
    session: { version: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256', isClientProved: true },
  });
  const tlvs = octets.subarray(28).toString('hex');
  assert.ok(tlvs.startsWith(`010002${line('h2').toString('hex')}020010${line('orders.acme.test').toString('hex')}20`));
  // Client over TLS with a certificate on this connection, and verified.
  assert.ok(tlvs.includes(`0700000000210007${line('TLSv1.3').toString('hex')}`));
  assert.equal(readProxyHeader(octets).kind, 'complete');
  const mixed = { ...ENDS, destination: ENDS6.destination };
  for (const header of [writeV1Header(mixed), writeV2Header(mixed, null)]) {
    const reading = readProxyHeader(header);
    assert.ok(reading.kind === 'complete' && reading.header.ends === null);
  }
});

test('each beginning of a header is incomplete, anything else has none', () => {
  for (const octets of [writeV1Header(ENDS), writeV2Header(ENDS6, { alpn: 'h2', serverName: null, session: null })]) {
    for (let length = 0; length < octets.length; length++)
      assert.equal(readProxyHeader(octets.subarray(0, length)).kind, 'incomplete', String(length));
  }
  for (const text of ['GET / HTTP/1.1\r\n', 'PROXX', 'proxy TCP4', '\x16\x03\x01', '\r\n\r\nGET', ' PROXY ']) {
    assert.equal(readProxyHeader(line(text)).kind, 'absent', text);
  }
});

test('lines of another form are refused', () => {
  for (const text of [
    'PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 \r\n',
    'PROXY TCP4 192.0.2.1  198.51.100.7 56324 443\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.7 056324 443\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.7 65536 443\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.7 -1 443\r\n',
    'PROXY TCP4 192.0.2.256 198.51.100.7 1 443\r\n',
    'PROXY TCP4 192.0.2.01 198.51.100.7 1 443\r\n',
    'PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n',
    'PROXY TCP6 192.0.2.1 198.51.100.7 1 2\r\n',
    'PROXY TCP6 ::1 2001:db8:::2 1 2\r\n',
    'PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n',
    'PROXY UDP4 192.0.2.1 198.51.100.7 1 2\r\n',
    'PROXY UNKNOWNS\r\n',
    'PROXY \r\n',
    `PROXY UNKNOWN ${'x'.repeat(92)}\r\n`,
    `PROXY UNKNOWN ${'x'.repeat(92)}x`,
  ]) {
    assert.equal(readProxyHeader(line(text)).kind, 'malformed', JSON.stringify(text));
  }
});

test('headers of version 2 whose parts do not add up are refused', () => {
  const good = writeV2Header(ENDS, { alpn: 'h2', serverName: null, session: null });
  const wrongSum = Buffer.from(good);
  wrongSum[20]! ^= 1;
  const bad: readonly (readonly [string, Buffer])[] = [
    ['version 1 in its place', v2(`11 11 000c ${ADDRESSES}`)],
    ['an unknown command', v2(`22 11 000c ${ADDRESSES}`)],
    ['datagrams', v2(`21 12 000c ${ADDRESSES}`)],
    ['an unknown family', v2(`21 41 000c ${ADDRESSES}`)],
    ['addresses cut short', v2(`21 11 000b ${ADDRESSES}`)],
    ['addresses of IPv4 as IPv6', v2(`21 21 000c ${ADDRESSES}`)],
    ['half a TLV', v2(`21 11 000e ${ADDRESSES} ee00`)],
    ['a TLV beyond the header', v2(`21 11 0010 ${ADDRESSES} ee 0002 07`)],
    ['a checksum of three octets', v2(`21 11 0012 ${ADDRESSES} 03 0003 000000`)],
    ['a checksum that is wrong', v2(`21 11 0013 ${ADDRESSES} 03 0004 00000000`)],
    ['an address changed under its checksum', wrongSum],
    ['33 TLVs', v2(`21 11 006f ${ADDRESSES} ${'ee0000'.repeat(33)}`)],
    ['4 KiB', v2(`21 11 1000 ${ADDRESSES}`)],
  ];
  for (const [name, octets] of bad) assert.equal(readProxyHeader(octets).kind, 'malformed', name);
});

test('no address that was changed under a checksum is taken, and random octets never throw', () => {
  const good = writeV2Header(ENDS6, { alpn: 'h2', serverName: 'a.test', session: null });
  for (let at = 16; at < 16 + 36; at++) {
    const octets = Buffer.from(good);
    octets[at]! ^= 0x40;
    assert.equal(readProxyHeader(octets).kind, 'malformed', String(at));
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom('', SIGNATURE, line('PROXY ').toString('hex')), (octets, prefix) => {
      assert.ok(['complete', 'incomplete', 'absent', 'malformed'].includes(readProxyHeader(Buffer.concat([hex(prefix), octets])).kind));
    }),
  );
});
