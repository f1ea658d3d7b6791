import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { CertificateCadenceSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { backoffMs } from './backoff.ts';
import { renewalDueAt } from './renewal-schedule.ts';

const certificate = { notBefore: 1_000, notAfter: 11_000, renewalEpoch: 3n };
const cadence = (renewAtPermille: number, renewalEpoch = 3n, renewalSmearMs = 0) =>
  create(CertificateCadenceSchema, { renewAtPermille, renewalEpoch, renewalSmearMs });

test('a certificate is renewed at its part of life', () => {
  assert.equal(renewalDueAt(certificate, cadence(600), 0, 0), 7_000);
});

test('without settings, or without a part of life in them, at half of it', () => {
  assert.equal(renewalDueAt(certificate, null, 0, 0), 6_000);
  assert.equal(renewalDueAt(certificate, cadence(0), 0, 0), 6_000);
});

test('never so late that no time is left, never so early that it renews all the time', () => {
  assert.equal(renewalDueAt(certificate, cadence(1_000), 0, 0), 10_000);
  assert.equal(renewalDueAt(certificate, cadence(4_000_000), 0, 0), 10_000);
  assert.equal(renewalDueAt(certificate, cadence(1), 0, 0), 1_500);
});

test('a rise of the epoch asks for it now, each at its own place in the smear', () => {
  assert.equal(renewalDueAt(certificate, cadence(600, 4n, 2_000), 3_000, 0), 3_000);
  assert.equal(renewalDueAt(certificate, cadence(600, 4n, 2_000), 3_000, 0.5), 4_000);
});

test('a smear does not put off what time demands', () => {
  assert.equal(renewalDueAt(certificate, cadence(600, 4n, 90_000), 3_000, 0.9), 7_000);
});

test('a lower epoch, or none heard of before, asks for nothing', () => {
  assert.equal(renewalDueAt(certificate, cadence(600, 2n), 3_000, 0), 7_000);
  assert.equal(renewalDueAt({ ...certificate, renewalEpoch: null }, cadence(600, 9n), 3_000, 0), 7_000);
});

test('pauses grow to their bound and no further, and never vanish', () => {
  const bounds = { firstMs: 100, mostMs: 5_000 };
  for (let failures = 0; failures < 2_000; failures++) {
    for (const random of [0, 0.5, 0.999]) {
      const pause = backoffMs(failures, random, bounds);
      assert.ok(pause >= 100 && pause <= 5_000, `${failures} ${random} ${pause}`);
    }
  }
  assert.equal(backoffMs(20, 0.999, bounds) > 4_900, true);
});
