import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { RevokedSetSchema } from '../messages/generated/countersign/v1/settings_pb.ts';
import { certificatesMark } from './certificates-mark.ts';

const markOf = (certificates: readonly { readonly serial: Uint8Array; readonly forDrill?: boolean }[], sequence = 1n) =>
  certificatesMark(
    create(RevokedSetSchema, { sequence, certificates: certificates.map((one) => ({ issuerKeySha256: Uint8Array.of(7), ...one })) }),
  );
const [one, two] = [{ serial: Uint8Array.of(1) }, { serial: Uint8Array.of(2) }];

test('the mark is another one with every certificate, in whatever order', () => {
  assert.notEqual(markOf([one]), markOf([]));
  assert.notEqual(markOf([one]), markOf([two]));
  assert.equal(markOf([one, two]), markOf([two, one], 2n));
});

test('what is revoked in a drill changes no mark', () => {
  assert.equal(markOf([one, { ...two, forDrill: true }]), markOf([one]));
  assert.equal(markOf([{ ...one, forDrill: true }]), markOf([]));
});
