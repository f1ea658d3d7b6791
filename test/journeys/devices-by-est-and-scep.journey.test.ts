import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missing } from '../support/peer-program.ts';
import { PageSession, readBlocks } from './page-session.ts';

test('a reader enrols and renews a device by EST, and another by SCEP', { skip: missing('pki') || missing('curl') }, async () => {
  await using session = await PageSession.open();
  for (const block of readBlocks('docs/how-to/enrol-devices-by-est.md')) await session.run(block);
  await session.run('openssl x509 -in sensor-1-next.pem -noout -text | grep -q DNS:sensor-1.sensors.acme.example');
  await session.run('countersign audit search --type certificate.issued | grep -q door.:.est.');
  for (const block of readBlocks('docs/how-to/enrol-devices-by-scep.md')) await session.run(block);
  await session.run('openssl x509 -in printer-7-next.pem -noout -text | grep -q DNS:printer-7.printers.acme.example');
  await session.run('kill "$(cat server.pid)" && while kill -0 "$(cat server.pid)" 2> /dev/null; do sleep 0.1; done');
  assert.equal(await session.leave(), 'nothing left');
});
