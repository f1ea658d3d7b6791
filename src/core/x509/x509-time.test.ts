import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Problem } from '../problems/problem.ts';
import { DerReader, tags } from './der.ts';
import { encodeDer, primitive } from './der-writer.ts';
import { NO_EXPIRY, readGeneralizedTime, readTime, time } from './x509-time.ts';

const read = (tag: number, text: string): number => readTime(DerReader.over(encodeDer(primitive(tag, text))));
const isMalformed = (error: unknown): boolean => error instanceof Problem && error.code === 'der-malformed';

test('readTime() refuses times without seconds or Z, with fractions or offsets, and dates that do not exist', () => {
  const utc = [
    '', '2601010000Z', '260101000000', '260101000000+0000', '260101000000.5Z', '260101 00000Z', '260230000000Z', '261301000000Z',
    '260001000000Z', '260100000000Z', '260101240000Z', '260101006000Z', '260101000060Z', '26010100000aZ', '260101000000z', '250229000000Z',
  ]; // prettier-ignore
  for (const text of utc) assert.throws(() => read(tags.utcTime, text), isMalformed, text);
  const generalized = [
    '20260101000000',
    '202601010000Z',
    '20260101000000.0Z',
    '20260101000000+0100',
    '260101000000Z',
    '20230229000000Z',
    '20261232000000Z',
  ];
  for (const text of generalized) assert.throws(() => read(tags.generalizedTime, text), isMalformed, text);
  assert.throws(() => read(tags.octetString, '260101000000Z'), isMalformed);
  assert.throws(() => readGeneralizedTime(DerReader.over(encodeDer(primitive(tags.utcTime, '260101000000Z')))), isMalformed);
});

test('readTime() puts two-digit years from 1950 to 2049 (RFC 5280 section 4.1.2.5.1)', () => {
  assert.equal(read(tags.utcTime, '500101000000Z'), Date.UTC(1950, 0, 1));
  assert.equal(read(tags.utcTime, '991231235959Z'), Date.UTC(1999, 11, 31, 23, 59, 59));
  assert.equal(read(tags.utcTime, '000229000000Z'), Date.UTC(2000, 1, 29));
  assert.equal(read(tags.utcTime, '491231235959Z'), Date.UTC(2049, 11, 31, 23, 59, 59));
  assert.equal(read(tags.generalizedTime, '20260101000000Z'), Date.UTC(2026, 0, 1));
  assert.equal(read(tags.generalizedTime, '99991231235959Z'), NO_EXPIRY);
});

test('time() writes UTCTime through 2049 and GeneralizedTime from 2050 on', () => {
  assert.equal(encodeDer(time(Date.UTC(2049, 11, 31, 23, 59, 59, 999)))[0], tags.utcTime);
  assert.equal(encodeDer(time(Date.UTC(2050, 0, 1)))[0], tags.generalizedTime);
  assert.throws(() => time(Date.UTC(1949, 11, 31)), RangeError);
  assert.throws(() => time(NO_EXPIRY + 1000), RangeError);
  assert.throws(() => time(Number.NaN), RangeError);
});

test('times survive the round trip in whole seconds', () => {
  fc.assert(
    fc.property(fc.integer({ min: Date.UTC(1950, 0, 1) / 1000, max: NO_EXPIRY / 1000 }), (seconds) => {
      assert.equal(readTime(DerReader.over(encodeDer(time(seconds * 1000 + 999)))), seconds * 1000);
    }),
  );
});

test('readTime() knows every day of the calendar, from the first century on, and no other', () => {
  for (const year of [0, 1, 4, 99, 100, 400, 1582, 1900, 1969, 1970, 2000, 2023, 2024, 2100, 9999]) {
    for (let month = 0; month <= 13; month++) {
      for (let day = 0; day <= 32; day++) {
        const date = new Date(0);
        date.setUTCFullYear(year, month - 1, day);
        date.setUTCHours(23, 59, 58);
        const exists = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
        const read = (): number => readTime(DerReader.over(generalized([year, month, day])));
        if (exists) assert.equal(read(), date.getTime(), `${year}-${month}-${day}`);
        else assert.throws(read, /does not exist/, `${year}-${month}-${day}`);
      }
    }
  }
});

function generalized([year, month, day]: readonly [number, number, number]): Uint8Array {
  const text = `${String(year).padStart(4, '0')}${String(month).padStart(2, '0')}${String(day).padStart(2, '0')}235958Z`;
  return Uint8Array.of(tags.generalizedTime, 15, ...Buffer.from(text));
}
