import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAccessLogName, parseAccessLogName } from './access-log-name.ts';

test('parseAccessLogName() reads what formatAccessLogName() writes', () => {
  for (const side of ['inbound', 'outbound'] as const) {
    for (const channel of ['plaintext', 'tls', 'mtls', 'passthrough', 'listener'] as const) {
      for (const protocol of ['http', 'grpc', 'tcp'] as const) {
        const name = { side, endpointId: 'endpoint_01j00000000000000000000000', channel, protocol };
        assert.deepEqual(parseAccessLogName(formatAccessLogName(name)), name);
      }
    }
  }
});

for (const text of [
  '',
  'cs',
  'cs|inbound',
  'cs|inbound||mtls|http',
  'xx|inbound|e|mtls|http',
  'cs|both|e|mtls|http',
  'cs|inbound|e|quic|http',
  'cs|inbound|e|mtls|smtp',
  'cs|inbound|e|mtls|http|more',
  'cs|trust|inbound|e|mtls',
]) {
  test(`parseAccessLogName() takes ${JSON.stringify(text)} for no name of ours`, () => assert.equal(parseAccessLogName(text), null));
}
