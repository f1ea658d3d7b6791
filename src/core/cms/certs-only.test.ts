import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { missing, runProgram } from '../../../test/support/peer-program.ts';
import { decodePem } from '../x509/pem.ts';
import { buildCertsOnly } from './certs-only.ts';

const scratch = mkdtempSync(join(tmpdir(), 'countersign-cms-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const authority = makeTestAuthority(Date.UTC(2026, 10, 24));
const { chain } = authority.issue({ dnsNames: ['a.example'] });

test('openssl reads the certificates in the order given', { skip: missing('openssl') }, async () => {
  const file = join(scratch, 'certs.p7');
  writeFileSync(file, buildCertsOnly([...chain, authority.root.der]));
  const printed = await runProgram('openssl', ['pkcs7', '-inform', 'DER', '-in', file, '-print_certs']);
  assert.equal(printed.code, 0, printed.stderr);
  assert.deepEqual(decodePem(printed.stdout, 'CERTIFICATE').map(hex), [...chain, authority.root.der].map(hex));
  const { code, stdout, stderr } = await runProgram('openssl', ['cms', '-inform', 'DER', '-in', file, '-cmsout', '-print', '-noout']);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /contentType: pkcs7-signedData[\s\S]*eContent: <ABSENT>[\s\S]*signerInfos:\s*<EMPTY>/);
});

test('without certificates nothing is in it, not even an empty set', () => {
  assert.equal(hex(buildCertsOnly([])), '302306092a864886f70d010702a01630140201013100300b06092a864886f70d0107013100');
});

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex');
}
