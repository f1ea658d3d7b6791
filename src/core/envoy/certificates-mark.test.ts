import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { subjectMark } from '../identity/subject-mark.ts';
import { type RevokedCertificateSchema, RevokedSetSchema } from '../messages/generated/countersign/v1/settings_pb.ts';
import { certificatesMark } from './certificates-mark.ts';

const [ORDERS, REPORTS] = ['spiffe://example.test/prod/orders', 'spiffe://example.test/prod/reports'] as const;

function markOf(
  certificates: readonly MessageInitShape<typeof RevokedCertificateSchema>[],
  spiffeIds: readonly string[] = [ORDERS],
  sequence = 1n,
): string {
  const all = certificates.map((one) => ({ issuerKeySha256: Uint8Array.of(7), subject: subjectMark(ORDERS), ...one }));
  return certificatesMark(create(RevokedSetSchema, { sequence, certificates: all }), spiffeIds);
}

const of = (issuer: number, serial: number) => ({ issuerKeySha256: Uint8Array.of(issuer), serial: Uint8Array.of(serial) });
const [one, two] = [{ serial: Uint8Array.of(1) }, { serial: Uint8Array.of(2) }];

test('the mark is another one with every certificate of these identities, in whatever order', () => {
  assert.notEqual(markOf([one]), markOf([]));
  assert.notEqual(markOf([one]), markOf([two]));
  assert.equal(markOf([one, two]), markOf([two, one], [ORDERS], 2n));
  assert.equal(markOf([one], [ORDERS, REPORTS]), markOf([one], [REPORTS, ORDERS, ORDERS]));
});

test('certificates of others change no mark, nor do those that name nobody', () => {
  const others = { ...two, subject: subjectMark(REPORTS) };
  assert.equal(markOf([one, others]), markOf([one]));
  assert.notEqual(markOf([one, others], [REPORTS]), markOf([one], [REPORTS]));
  const nameless = { ...two, subject: new Uint8Array() };
  assert.equal(markOf([one, nameless]), markOf([one]));
  assert.equal(markOf([nameless], []), markOf([], []));
});

test('the mark tells whose certificate of a serial number is revoked', () => {
  const marks = [[of(7, 1)], [of(8, 1)], [of(7, 1), of(8, 1)], [of(7, 1), of(8, 2)], [of(7, 2), of(8, 1)], [of(7, 1), of(7, 2)]].map(
    (set) => markOf(set),
  );
  assert.equal(new Set(marks).size, marks.length);
});

test('what is revoked in a drill changes no mark', () => {
  assert.equal(markOf([one, { ...two, forDrill: true }]), markOf([one]));
  assert.equal(markOf([{ ...one, forDrill: true }]), markOf([]));
});
