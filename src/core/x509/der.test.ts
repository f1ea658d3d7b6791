import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Problem } from '../problems/problem.ts';
import {
  DerReader,
  readBoolean,
  readDefaultFalse,
  readInteger,
  readNamedBits,
  readOctetAlignedBits,
  readSmallInteger,
  tags,
} from './der.ts';
import {
  bitString,
  boolean,
  constructed,
  type DerNode,
  encodeDer,
  explicit,
  namedBits,
  octetStringAround,
  primitive,
  raw,
  sequence,
  smallInteger,
  unsignedInteger,
  utf8String,
} from './der-writer.ts';

const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');
const isMalformed = (error: unknown): boolean => error instanceof Problem && error.code === 'der-malformed';

/** Sequences in one another, so many. */
function nest(depth: number): Uint8Array {
  let node: DerNode = sequence();
  for (let i = 1; i < depth; i++) node = sequence(node);
  return encodeDer(node);
}

const nulls = (count: number): Uint8Array => Buffer.from('0500'.repeat(count), 'hex');

function throwsOnlyMalformed(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    assert.ok(isMalformed(error), String(error));
  }
}

/** Walks everything that can be entered, as a hostile document would be. */
function walk(reader: DerReader): number {
  let count = 0;
  while (!reader.done) {
    const tag = reader.nextTag;
    count += 1;
    if ((tag & 0x20) !== 0) count += walk(reader.enter(tag));
    else reader.content(tag);
  }
  return count;
}

test('DerReader refuses every length that is not definite, minimal and inside', () => {
  const refused = {
    'no length': '04',
    'indefinite length': '30 80 05 00 00 00',
    'long form below 128': '04 81 01 00',
    'long form with a leading zero': '04 82 00 80',
    'length past the end': '04 02 00',
    'length field cut': '04 82 01',
    'five length octets': '04 85 00 00 00 00 01',
    'reserved length ff': '04 ff',
    'four gigabytes': '04 84 ff ff ff ff',
    'high tag number': '1f 81 01 00',
  };
  for (const [name, text] of Object.entries(refused)) assert.throws(() => walk(DerReader.over(hex(text))), isMalformed, name);
});

test('DerReader refuses another tag, a primitive to enter, and octets left over', () => {
  assert.throws(() => DerReader.over(hex('0500')).content(tags.integer), isMalformed);
  assert.throws(() => DerReader.over(hex('0500')).enter(tags.null), isMalformed);
  assert.throws(() => DerReader.over(hex('')).element(), isMalformed);
  const reader = DerReader.over(hex('0500 0500'));
  reader.content(tags.null);
  assert.throws(() => reader.finish(), isMalformed);
  const outer = DerReader.over(hex('3002 0101')).enter(tags.sequence);
  assert.throws(() => outer.content(tags.boolean), isMalformed, 'an inner length past its parent');
});

test('DerReader bounds size, depth and number of elements', () => {
  const limits = { maxOctets: 100, maxDepth: 4, maxElements: 10 };
  assert.equal(walk(DerReader.over(nest(4), limits)), 4);
  assert.throws(() => walk(DerReader.over(nest(5), limits)), isMalformed);
  assert.throws(() => DerReader.over(new Uint8Array(101), limits), isMalformed);
  assert.equal(walk(DerReader.over(nulls(10), limits)), 10);
  assert.throws(() => walk(DerReader.over(nulls(11), limits)), isMalformed);
});

test('DerReader returns views of the source and copies nothing', () => {
  const source = encodeDer(sequence(primitive(tags.octetString, hex('0102'))));
  const content = DerReader.over(source).enter(tags.sequence).content(tags.octetString);
  assert.equal(content.buffer, source.buffer);
});

test('readBoolean() refuses every octet but 00 and ff', () => {
  assert.equal(readBoolean(DerReader.over(hex('0101ff'))), true);
  assert.equal(readBoolean(DerReader.over(hex('010100'))), false);
  for (const text of ['010101', '0101fe', '0100', '0102ffff'])
    assert.throws(() => readBoolean(DerReader.over(hex(text))), isMalformed, text);
});

test('readDefaultFalse() refuses a default that is written out', () => {
  assert.equal(readDefaultFalse(DerReader.over(hex('0500'))), false);
  assert.throws(() => readDefaultFalse(DerReader.over(hex('010100'))), isMalformed);
});

test('readInteger() refuses what is empty or not minimal', () => {
  for (const text of ['0200', '02020001', '0202007f', '0202ff80', '0202ffff']) {
    assert.throws(() => readInteger(DerReader.over(hex(text))), isMalformed, text);
  }
  for (const text of ['020100', '02020080', '0201ff', '0202ff7f']) {
    assert.deepEqual(Buffer.from(readInteger(DerReader.over(hex(text)))), hex(text).subarray(2), text);
  }
});

test('readSmallInteger() refuses negative numbers and those from 2^31 on', () => {
  for (const text of ['0201ff', '02050080000000', '02050100000000'])
    assert.throws(() => readSmallInteger(DerReader.over(hex(text))), isMalformed, text);
  assert.equal(readSmallInteger(DerReader.over(hex('02047fffffff'))), 2 ** 31 - 1);
});

test('bit strings: unused bits, padding and trailing zeros are refused where they are not DER', () => {
  assert.throws(() => readOctetAlignedBits(DerReader.over(hex('03020780'))), isMalformed);
  assert.throws(() => readOctetAlignedBits(DerReader.over(hex('0300'))), isMalformed);
  for (const text of ['0300', '03020880', '03020700', '030207c0', '03020680', '030107', '0303078000', '030b00' + 'ff'.repeat(10)]) {
    assert.throws(() => readNamedBits(DerReader.over(hex(text))), isMalformed, text);
  }
  assert.deepEqual(readNamedBits(DerReader.over(hex('03020780'))), [0]);
  assert.deepEqual(readNamedBits(DerReader.over(hex('03020106'))), [5, 6]);
  assert.deepEqual(readNamedBits(DerReader.over(hex('0303070080'))), [8]);
  assert.deepEqual(readNamedBits(DerReader.over(hex('030100'))), []);
});

test('what is written is read back the same', () => {
  const leaf = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map((octets) => primitive(tags.octetString, octets)),
    fc.uint8Array({ maxLength: 40 }).map(unsignedInteger),
    fc.maxSafeNat().map((value) => smallInteger(value)),
    fc.boolean().map(boolean),
    fc.uint8Array({ maxLength: 40 }).map(bitString),
    fc.string({ maxLength: 50 }).map(utf8String),
    fc.uniqueArray(fc.nat(30)).map((bits) => namedBits(bits)),
  );
  const { tree } = fc.letrec<{ tree: DerNode }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5 },
      leaf,
      fc.array(tie('tree'), { maxLength: 5 }).map((children) => sequence(...children)),
      tie('tree').map((child) => explicit(3, child)),
      tie('tree').map(octetStringAround),
      fc.array(tie('tree'), { maxLength: 3 }).map((children) => constructed(tags.set, children)),
      tie('tree').map((child) => raw(encodeDer(child))),
    ),
  }));
  fc.assert(
    fc.property(tree, (node) => {
      const encoding = encodeDer(node);
      assert.equal(encoding.length, node.length);
      const reader = DerReader.over(encoding);
      assert.deepEqual(reader.element(), encoding);
      reader.finish();
      walk(DerReader.over(encoding));
    }),
    { numRuns: 300 },
  );
});

test('integers survive the round trip as the same number', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 160n }), (value) => {
      const digits = value.toString(16);
      const magnitude = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex');
      const octets = readInteger(DerReader.over(encodeDer(unsignedInteger(magnitude))));
      assert.equal(octets[0]! < 0x80, true);
      assert.equal(BigInt(`0x${Buffer.from(octets).toString('hex')}`), value);
    }),
  );
  fc.assert(
    fc.property(fc.nat(2 ** 31 - 1), (value) => assert.equal(readSmallInteger(DerReader.over(encodeDer(smallInteger(value)))), value)),
  );
});

test('random octets end in values or in der-malformed, never in another error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (octets) => {
      throwsOnlyMalformed(() => walk(DerReader.over(octets)));
      for (const read of [readBoolean, readInteger, readSmallInteger, readNamedBits, readOctetAlignedBits]) {
        throwsOnlyMalformed(() => read(DerReader.over(octets)));
      }
    }),
    { numRuns: 500 },
  );
});
