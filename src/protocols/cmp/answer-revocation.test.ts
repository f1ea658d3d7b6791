import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CertificateRecord } from '../../control/ca/certificate-store.ts';
import { mayRevoke } from './answer-revocation.ts';

const record = (serial: number, dns: readonly string[] = []): CertificateRecord =>
  ({
    issuerKeySha256: 'aa',
    serial: Uint8Array.of(serial),
    environment: 'prod',
    profile: 'server',
    spiffeId: null,
    names: { dns, ip: [] },
    proxyId: null,
  }) as Partial<CertificateRecord> as CertificateRecord;

const may = (own: CertificateRecord, other: CertificateRecord): boolean =>
  mayRevoke({ kind: 'certificate', name: 'cmp:certificate:01', record: own }, other);

test('a certificate revokes itself and those of its names; of two without a name neither revokes the other', () => {
  assert.equal(may(record(1), record(2)), false, 'no names');
  assert.equal(may(record(1, ['a.example']), record(2)), false, 'one has a name');
  assert.equal(may(record(1, ['a.example']), record(2, ['b.example'])), false, 'other names');
  assert.equal(may(record(1), { ...record(1), issuerKeySha256: 'bb' }), false, 'the serial of another issuer');
  assert.equal(may(record(1), record(1)), true, 'itself');
  assert.equal(may(record(1, ['a.example']), record(2, ['a.example'])), true, 'its successor');
});
