import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { canonicalJson, WrittenJson } from './canonical-json.ts';

/** RFC 8785 appendix B: the octets of an IEEE 754 double and how it is written. */
const numbers: readonly (readonly [string, string])[] = [
  ['0000000000000000', '0'],
  ['8000000000000000', '0'],
  ['0000000000000001', '5e-324'],
  ['8000000000000001', '-5e-324'],
  ['7fefffffffffffff', '1.7976931348623157e+308'],
  ['ffefffffffffffff', '-1.7976931348623157e+308'],
  ['4340000000000000', '9007199254740992'],
  ['c340000000000000', '-9007199254740992'],
  ['4430000000000000', '295147905179352830000'],
  ['44b52d02c7e14af5', '9.999999999999997e+22'],
  ['44b52d02c7e14af6', '1e+23'],
  ['44b52d02c7e14af7', '1.0000000000000001e+23'],
  ['444b1ae4d6e2ef4e', '999999999999999700000'],
  ['444b1ae4d6e2ef4f', '999999999999999900000'],
  ['444b1ae4d6e2ef50', '1e+21'],
  ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
  ['3eb0c6f7a0b5ed8d', '0.000001'],
  ['41b3de4355555553', '333333333.3333332'],
  ['41b3de4355555554', '333333333.33333325'],
  ['41b3de4355555555', '333333333.3333333'],
  ['41b3de4355555556', '333333333.3333334'],
  ['41b3de4355555557', '333333333.33333343'],
  ['becbf647612f3696', '-0.0000033333333333333333'],
  ['43143ff3c1cb0959', '1424953923781206.2'],
];

test('numbers are written as in RFC 8785 appendix B', () => {
  for (const [octets, text] of numbers) assert.equal(canonicalJson(Buffer.from(octets, 'hex').readDoubleBE()), text, octets);
});

test('NaN and the infinities of RFC 8785 appendix B are refused, at any depth', () => {
  for (const octets of ['7fffffffffffffff', '7ff0000000000000', 'fff0000000000000']) {
    const value = Buffer.from(octets, 'hex').readDoubleBE();
    for (const holder of [value, [value], { a: { b: value } }]) assert.throws(() => canonicalJson(holder), { code: 'input-invalid' });
  }
});

test('the sample of RFC 8785 section 3.2.2 is written as in section 3.2.3', () => {
  const input = String.raw`{
    "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
    "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
    "literals": [null, true, false]
  }`;
  assert.equal(
    canonicalJson(JSON.parse(input) as never),
    String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
  );
});

test('the keys of RFC 8785 section 3.2.3 come in the order given there', () => {
  const input = String.raw`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`;
  const order = [...canonicalJson(JSON.parse(input) as never).matchAll(/:"([^"]+)"/g)].map(([, value]) => value);
  assert.deepEqual(order, [
    'Carriage Return',
    'One',
    'Control',
    'Latin Small Letter O With Diaeresis',
    'Euro Sign',
    'Emoji: Grinning Face',
    'Hebrew Letter Dalet With Dagesh',
  ]);
});

test('canonical text is a fixed point, and equal text means equal values', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (one, other) => {
      const [a, b] = [one, other].map((value) => JSON.parse(JSON.stringify(value)) as never) as [never, never];
      assert.equal(canonicalJson(JSON.parse(canonicalJson(a)) as never), canonicalJson(a));
      assert.equal(canonicalJson(a) === canonicalJson(b), isDeepStrictEqual(a, b));
    }),
  );
});

test('every double comes back from its text', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => assert.equal(Number(canonicalJson(value)), value + 0)),
  );
});

test('a hole, a ring, a function and a key that is no text of Unicode are refused', () => {
  const ring: unknown[] = [];
  ring.push(ring);
  for (const value of [
    Object.assign([], { length: 2 }),
    [1, undefined],
    ring,
    () => 1,
    Symbol('x'),
    new Map(),
    Buffer.from('a'),
    { ['\ud800']: 1 },
    ['a\udfff'],
  ])
    assert.throws(() => canonicalJson(value as never), { code: 'input-invalid' });
});

test('a value that is written already stands in another as it would if it were written there', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), fc.string(), (value, name) => {
      const json = value as Parameters<typeof canonicalJson>[0] & (string | null);
      assert.equal(canonicalJson({ b: new WrittenJson(json), a: name }), canonicalJson({ a: name, b: json }));
    }),
  );
  assert.throws(() => new WrittenJson(Number.NaN), /input-invalid|Cannot write/);
});
