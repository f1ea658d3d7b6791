import assert from 'node:assert/strict';
import { test } from 'node:test';
import { publicAddresses } from './public-addresses.ts';

test('publicAddresses permits what is public, and nothing of this machine, its networks, or written another way', () => {
  for (const ip of ['1.1.1.1', '93.184.216.34', '172.32.0.1', '2606:4700::1111', '2a00:1450::1'])
    assert.ok(publicAddresses.permits(ip, 80), ip);
  for (const ip of [
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
    'fc00::1',
    'fd12::1',
    'fe80::1',
    'ff02::1',
    'localhost',
    '',
  ])
    assert.ok(!publicAddresses.permits(ip, 80), ip);
});
