import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTicketKeys } from '../tls/ticket-keys.ts';
import { envoyTicketKeys } from './envoy-ticket-keys.ts';

test('each key becomes 80 octets, the sealing one first, the same at every companion', () => {
  const [first, second, third] = [makeTicketKeys().sealing, makeTicketKeys().sealing, makeTicketKeys().sealing];
  const keys = envoyTicketKeys({ sealing: first, accepted: [second, third] });
  assert.deepEqual(
    keys.map(({ length }) => length),
    [80, 80, 80],
  );
  assert.deepEqual(envoyTicketKeys({ sealing: first, accepted: [second, third] }), keys);
  assert.deepEqual(envoyTicketKeys({ sealing: second, accepted: [first] }), [keys[1], keys[0]]);
});

test('nothing of the shared key is in what Envoy holds', () => {
  const { sealing } = makeTicketKeys();
  const [key] = envoyTicketKeys({ sealing, accepted: [] });
  for (let at = 0; at + 8 <= sealing.length; at++) assert.equal(key!.includes(sealing.subarray(at, at + 8)), false);
});
