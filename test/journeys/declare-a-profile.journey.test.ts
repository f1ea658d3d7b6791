import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PageSession, readBlocks } from './page-session.ts';

test('a reader declares a profile, tries it, has a request approved, and renews by the certificate alone', async () => {
  await using session = await PageSession.open();
  const fleet = readBlocks('docs/how-to/first-fleet.md');
  const exchange = fleet.findIndex((block) => block.includes('countersign token exchange'));
  assert.notEqual(exchange, -1);
  for (const block of fleet.slice(0, exchange + 1)) await session.run(block);
  for (const block of readBlocks('docs/how-to/declare-a-profile.md')) await session.run(block);
  // What the page says became of it, read back from the shell's own directory.
  await session.run('openssl x509 -in api.pem -noout -text | grep -q DNS:api.partners.acme.example');
  await session.run('openssl x509 -in next.pem -noout -text | grep -q URI:spiffe://acme.example/production/reports');
  await session.run('countersign audit search --type issuance-request.approved | grep -q partner-api');
});
