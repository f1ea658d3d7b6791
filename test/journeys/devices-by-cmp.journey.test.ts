import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PageSession, readBlocks } from './page-session.ts';

test('a reader enrols a device by CMP, updates its certificate and has the old one revoked', async () => {
  await using session = await PageSession.open();
  const blocks = readBlocks('docs/how-to/enrol-devices-by-cmp.md');
  for (const block of blocks.slice(0, -1)) await session.run(block);
  // What the page says became of it, read back from the shell's own directory.
  await session.run('openssl x509 -in next.pem -noout -text | grep -q DNS:printer-7.acme.example');
  await session.run('countersign audit search --type certificate.revoked --json | grep -q superseded');
  await session.run('grep -q cmp.refused server.log && ! test -e again.pem');
  await session.run(blocks.at(-1)!);
  assert.equal(await session.leave(), 'nothing left');
});
