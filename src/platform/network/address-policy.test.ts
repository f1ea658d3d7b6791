import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddressPolicy } from './address-policy.ts';

const everything = parseAddressPolicy(['0.0.0.0/0', '::/0']);

test('no range leads to the metadata of a cloud, in whatever way its address is written', () => {
  for (const ip of [
    '169.254.169.254',
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b::169.254.169.254',
    '64:FF9B:0:0:0:0:A9FE:A9FE',
    '64:ff9b::0.0.0.1',
    '2002:a9fe:a9fe::1',
    '2002:0:1::',
    '100.100.100.200',
    '::ffff:100.100.100.200',
    '64:ff9b::100.100.100.200',
    '2002:6464:64c8::1',
    'fd00:ec2::254',
    'fd00:0ec2:0:0:0:0:0:254',
    'fd20:ce::254',
    'fd00:c1::a9fe:a9fe',
    'fe80::1',
    'febf::1',
    '0.0.0.0',
    '0.1.2.3',
  ]) {
    assert.ok(!everything.permits(ip), ip);
    assert.ok(!parseAddressPolicy([`${ip}/${ip.includes(':') ? 128 : 32}`]).permits(ip), `${ip}, named`);
  }
});

test('what lies beside these addresses is permitted where a range says so, and nothing else is', () => {
  for (const ip of [
    '169.253.255.255',
    '169.255.0.0',
    '100.100.100.201',
    '64:ff9b::808:808',
    '2002:101:101::1',
    'fd00:ec2::253',
    '::1',
    '127.0.0.1',
  ])
    assert.ok(everything.permits(ip), ip);
  const narrow = parseAddressPolicy(['fd00:ec2::/64', '10.0.0.0/8']);
  for (const ip of ['fd00:ec2::254', '64:ff9b::a00:1', '11.0.0.1', 'fd00:ec3::1', 'localhost', '']) assert.ok(!narrow.permits(ip), ip);
  assert.ok(narrow.permits('fd00:ec2::1'));
});
