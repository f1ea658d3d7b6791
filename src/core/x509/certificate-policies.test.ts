import assert from 'node:assert/strict';
import { test } from 'node:test';
import { certify, makeHolder } from '../../../test/support/make-certificate.ts';
import { readCertificatePolicies } from './certificate-policies.ts';
import { encodeDer, nullValue, oid, sequence } from './der-writer.ts';
import { oids } from './oid.ts';

const holder = makeHolder('Root');
const certificate = certify(holder, holder, true);

/** What is read of a certificate with one policy and a qualifier of this kind. */
function readQualified(critical: boolean, kind: string): ReadonlySet<string> | null {
  const value = encodeDer(sequence(sequence(oid('1.2.3.4'), sequence(sequence(oid(kind), nullValue())))));
  return readCertificatePolicies({ ...certificate, extensions: [{ oid: oids.certificatePolicies, critical, value }] }).policies;
}

test('a qualifier that nobody here understands refuses a critical extension only (RFC 5280 section 4.2.1.4)', () => {
  assert.throws(() => readQualified(true, '1.2.3'), { code: 'der-malformed' });
  assert.deepEqual(readQualified(false, '1.2.3'), new Set(['1.2.3.4']));
  for (const known of ['1.3.6.1.5.5.7.2.1', '1.3.6.1.5.5.7.2.2']) assert.deepEqual(readQualified(true, known), new Set(['1.2.3.4']));
});
