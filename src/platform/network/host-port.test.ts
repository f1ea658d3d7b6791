import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddressPolicy } from './address-policy.ts';
import { formatHostPort, parseHostPort } from './host-port.ts';

test('parseHostPort() takes IPv4 and bracketed IPv6, and gives the same text back', () => {
  for (const text of ['127.0.0.1:8443', '[::1]:0']) assert.equal(formatHostPort(parseHostPort(text)), text);
});

test('parseHostPort() refuses names, missing and impossible ports', () => {
  for (const text of ['localhost:1', '127.0.0.1', '127.0.0.1:65536', '1.2.3:80', '::1:80', '', '127.0.0.1:-1', '[127.0.0.1:80']) {
    assert.throws(() => parseHostPort(text), { code: 'input-invalid' }, text);
  }
});

test('an address policy permits its ranges and nothing else', () => {
  const policy = parseAddressPolicy(['10.0.0.0/8', '::1/128']);
  for (const ip of ['10.1.2.3', '::1']) assert.equal(policy.permits(ip), true, ip);
  for (const ip of ['11.0.0.1', '::2', 'localhost', '']) assert.equal(policy.permits(ip), false, ip);
});

test('an address policy never permits link-local or unspecified addresses', () => {
  const policy = parseAddressPolicy(['0.0.0.0/0', '::/0']);
  for (const ip of ['169.254.169.254', 'fe80::1', '0.0.0.0', '::ffff:169.254.169.254']) assert.equal(policy.permits(ip), false, ip);
  assert.equal(policy.permits('192.0.2.1'), true);
});

test('a broken range is refused', () => {
  for (const range of ['10.0.0.0', '10.0.0.0/33', 'x/8', '10.0.0.0/', '::/129']) {
    assert.throws(() => parseAddressPolicy([range]), { code: 'input-invalid' }, range);
  }
});
