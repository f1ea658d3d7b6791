import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressLimit } from './limits.ts';
import { AcmeProblem } from './problems.ts';

const now = 1_800_000_000_000;

/** True if the address still has an allowance after those that came before. */
function takes(limit: AddressLimit, address: string): boolean {
  try {
    limit.take(address, now);
    return true;
  } catch (error) {
    assert.ok(error instanceof AcmeProblem && error.type === 'rateLimited' && Number(error.options.headers?.['retry-after']) > 0);
    return false;
  }
}

test('an IPv4 address has an allowance of its own, an IPv6 address that of its /64', () => {
  const limit = new AddressLimit({ burst: 1, periodMs: 60_000 });
  const cases: readonly (readonly [string, boolean])[] = [
    ['192.0.2.1', true],
    ['192.0.2.1', false],
    ['192.0.2.2', true],
    ['::ffff:192.0.2.3', true],
    ['::ffff:192.0.2.4', true],
    ['2001:db8:1:2::1', true],
    ['2001:db8:1:2:ffff:ffff:ffff:ffff', false],
    ['2001:db8:1:2:3:4:5:6', false],
    ['2001:db8:1:3::1', true],
    ['2001:db8::1', true],
    ['2001:db8:0:0:1::', false],
    ['::1', true],
    ['::2', false],
  ];
  for (const [address, taken] of cases) assert.equal(takes(limit, address), taken, address);
});
