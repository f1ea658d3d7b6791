import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { RevokedSetSchema } from '../messages/generated/countersign/v1/settings_pb.ts';
import { certificatesMark } from './certificates-mark.ts';

const markOf = (certificates: readonly { readonly serial: Uint8Array; readonly forDrill?: boolean }[], sequence = 1n) =>
  certificatesMark(
    create(RevokedSetSchema, { sequence, certificates: certificates.map((one) => ({ issuerKeySha256: Uint8Array.of(7), ...one })) }),
  );
const of = (issuer: number, serial: number) => ({ issuerKeySha256: Uint8Array.of(issuer), serial: Uint8Array.of(serial) });
const [one, two] = [{ serial: Uint8Array.of(1) }, { serial: Uint8Array.of(2) }];

test('the mark is another one with every certificate, in whatever order', () => {
  assert.notEqual(markOf([one]), markOf([]));
  assert.notEqual(markOf([one]), markOf([two]));
  assert.equal(markOf([one, two]), markOf([two, one], 2n));
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
