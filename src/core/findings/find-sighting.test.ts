import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DrilledConnection, findSighting, type LoggedRefusal } from './find-sighting.ts';

const drilled: DrilledConnection = {
  endpointId: 'endpoint_a',
  at: 1_000_000,
  firstOctetsSha256: 'aa',
  localAddress: '10.0.0.9:40000',
  presentedSerial: '01ff',
};
const byOctets: LoggedRefusal = { endpointId: 'endpoint_a', at: 0, firstOctetsSha256: 'aa', remoteAddress: '', serial: '01ff' };
const byAddress: LoggedRefusal = {
  endpointId: 'endpoint_a',
  at: 999_500,
  firstOctetsSha256: '',
  remoteAddress: '10.0.0.9:40000',
  serial: '01ff',
};

test('a refusal is known by the first octets of its connection, whenever it was', () => {
  assert.equal(findSighting(drilled, [{ ...byOctets, firstOctetsSha256: 'bb' }, byOctets]), byOctets);
});

test('where no octets are told, it is known by address, time and the certificate that was shown', () => {
  assert.equal(findSighting(drilled, [byAddress]), byAddress);
  const unseen = { ...byAddress, serial: '' };
  assert.equal(findSighting(drilled, [unseen]), unseen);
});

test('of two connections from one port the one that saw the certificate counts, then the nearest in time', () => {
  const earlier = { ...byAddress, at: drilled.at - 8_500, serial: '' };
  assert.equal(findSighting(drilled, [earlier, byAddress]), byAddress);
  const nearer = { ...byAddress, at: drilled.at, serial: '' };
  assert.equal(findSighting(drilled, [nearer, byAddress]), byAddress);
  const unshown = { ...drilled, presentedSerial: '' };
  assert.equal(findSighting(unshown, [earlier, nearer]), nearer);
  assert.equal(findSighting(unshown, [nearer, earlier]), nearer);
});

test('the refusal of another connection never counts', () => {
  const others: readonly LoggedRefusal[] = [
    { ...byOctets, firstOctetsSha256: 'ab' },
    { ...byOctets, endpointId: 'endpoint_b' },
    { ...byAddress, endpointId: 'endpoint_b' },
    { ...byAddress, remoteAddress: '10.0.0.9:40001' },
    { ...byAddress, remoteAddress: '10.0.0.8:40000' },
    { ...byAddress, remoteAddress: '' },
    { ...byAddress, at: drilled.at - 15_001 },
    { ...byAddress, at: drilled.at + 15_001 },
    { ...byAddress, serial: '02ff' },
    // Whoever tells octets is held to them.
    { ...byAddress, firstOctetsSha256: 'bb' },
  ];
  assert.equal(findSighting(drilled, others), null);
});

test('a prober that knows neither octets nor its address sees nothing of its own', () => {
  const unknown = { ...drilled, firstOctetsSha256: '', localAddress: '' };
  assert.equal(findSighting(unknown, [byOctets, byAddress, { ...byAddress, remoteAddress: '' }]), null);
});

test('a certificate is not taken for another drill’s that shows none', () => {
  assert.equal(findSighting({ ...drilled, presentedSerial: '' }, [byAddress]), null);
});
