import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { Problem } from '../problems/problem.ts';
import { ipAddressFromOctets, ipAddressOctets, parseIpAddress } from './ip-address.ts';

const isMalformed = (error: unknown): boolean => error instanceof Problem && error.code === 'identity-malformed';

test('parseIpAddress() refuses every other text', () => {
  const refused = [
    '', '1.2.3', '1.2.3.4.5', '01.2.3.4', '1.2.3.256', '1.2.3.-4', '1.2.3.4 ', '0x1.2.3.4', '1.2.3.4/8', ':', ':::', '1::2::3', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7::8', '12345::', 'g::', 'fe80::1%eth0', '[::1]', '::1.2.3', '1.2.3.4::', '::1.2.3.4:5', 'localhost', '1:', ':1', '1:2:3:4:5:6:7:1.2.3.4',
  ]; // prettier-ignore
  for (const text of refused) assert.throws(() => parseIpAddress(text), isMalformed, text);
});

test('parseIpAddress() writes every address in one spelling (RFC 5952)', () => {
  const spellings = {
    '0:0:0:0:0:0:0:1': '::1',
    '::': '::',
    '2001:DB8::0001': '2001:db8::1',
    '2001:db8:0:0:1:0:0:1': '2001:db8::1:0:0:1',
    '2001:db8:0:1:1:1:1:1': '2001:db8:0:1:1:1:1:1',
    '1:0:0:2:0:0:0:3': '1:0:0:2::3',
    'fe80:0:0:0:0:0:0:0': 'fe80::',
    '::ffff:10.0.0.1': '::ffff:10.0.0.1',
    '::FFFF:0a00:0001': '::ffff:10.0.0.1',
    '64:ff9b::192.0.2.33': '64:ff9b::c000:221',
    '127.0.0.1': '127.0.0.1',
  };
  for (const [text, expected] of Object.entries(spellings)) assert.equal(parseIpAddress(text), expected);
});

test('ipAddressFromOctets() refuses every length but 4 and 16', () => {
  for (const length of [0, 1, 3, 5, 8, 15, 17, 32]) assert.equal(ipAddressFromOctets(new Uint8Array(length)), null);
});

test('addresses survive the round trip and are addresses to Node too', () => {
  const octets = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 }).map((list) => Uint8Array.from(list)),
  );
  fc.assert(
    fc.property(octets, (address) => {
      const text = ipAddressFromOctets(address)!;
      assert.equal(isIP(text), address.length === 4 ? 4 : 6);
      assert.deepEqual(ipAddressOctets(text), address);
      assert.equal(parseIpAddress(text), text);
    }),
  );
});

test('any text that is accepted is an address to Node too', () => {
  const text = fc.string({ unit: fc.constantFrom('0', '1', '9', 'a', 'F', ':', '.', '::'), maxLength: 20 });
  fc.assert(
    fc.property(text, (candidate) => {
      const accepted = ((): boolean => {
        try {
          return parseIpAddress(candidate) !== null;
        } catch {
          return false;
        }
      })();
      assert.equal(accepted, isIP(candidate) !== 0, candidate);
    }),
    { numRuns: 2_000 },
  );
});
