import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { joinRequest, openTestAuthorities } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { readBlockedKeys } from '../../platform/config/blocked-keys.ts';
import { issueCertificate } from './issue-certificate.ts';

const now = 1_800_000_000_000;

forEachDatabase('keys that are blocked', (newUrl) => {
  test('a key of the configured list is not certified, and the log says why; another is', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const request = joinRequest();
    const deps = { ...ca, authorities: { ...ca.authorities, blockedKeys: new Set([request.csr.spkiSha256]) } };
    await assert.rejects(issueCertificate(deps, request, now), { code: 'issuance-refused', message: /key-blocked/ });
    assert.equal(ca.entriesOf('certificate.refused').length, 1);
    await issueCertificate(deps, joinRequest(), now);
  });
});

test('a list of blocked keys has digests and remarks, and nothing else', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'blocked-'));
  const file = join(folder, 'keys');
  const read = (text: string): Promise<ReadonlySet<string>> => (writeFileSync(file, text), readBlockedKeys(file));
  const digest = 'AB'.repeat(32);
  assert.deepEqual(await read(`# of a vendor\n${digest} # its name\n\n`), new Set([digest.toLowerCase()]));
  assert.deepEqual(await read(`${digest.slice(0, 20)}\n`), new Set([digest.slice(0, 20).toLowerCase()]), 'of a Debian list');
  for (const text of ['abc', digest.slice(0, 19), digest.slice(0, 40), `${digest}00`, `${digest} ${digest}`, 'zz'.repeat(32)])
    await assert.rejects(read(text), { code: 'input-invalid' }, text);
  await assert.rejects(readBlockedKeys(join(folder, 'none')), { code: 'input-invalid' });
  rmSync(folder, { recursive: true });
});
