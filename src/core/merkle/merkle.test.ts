import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { canonicalJson } from './canonical-json.ts';
import { openCheckpoint, signCheckpoint } from './checkpoint.ts';
import { appendLeaf, emptyFrontier, type Frontier, rootOf } from './frontier.ts';
import { emptyRoot, type Hash, hashChildren, hashLeaf } from './hash.ts';
import { proveConsistency, proveInclusion, type SubtreeReader, verifyConsistency, verifyInclusion } from './proof.ts';
import { encodeVerifier, noteVerifier, openNote, parseVerifier, signNote } from './signed-note.ts';
import { decodeEntries, encodeEntries, entriesPath, tilePath, tilesOf } from './tile.ts';

/** MTH of RFC 6962 section 2.1, as it stands there. */
function naiveRoot(leaves: readonly Hash[]): Hash {
  if (leaves.length === 0) return emptyRoot;
  if (leaves.length === 1) return leaves[0]!;
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return hashChildren(naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)));
}

const leavesOf = (count: number): Hash[] => Array.from({ length: count }, (_, at) => hashLeaf(Buffer.from(`leaf ${at}`)));
const frontierOf = (leaves: readonly Hash[]): Frontier => leaves.reduce(appendLeaf, emptyFrontier);
const readerOf =
  (leaves: readonly Hash[]): SubtreeReader =>
  async (start, end) =>
    naiveRoot(leaves.slice(start, end));
const sizes = fc.integer({ min: 1, max: 130 });

test('the empty tree and single leaves hash as in RFC 6962 section 2.1', () => {
  assert.equal(Buffer.from(emptyRoot).toString('hex'), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  assert.equal(Buffer.from(hashLeaf(new Uint8Array())).toString('hex'), '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d');
});

test('the frontier gives the root that the definition gives', () => {
  for (let count = 0; count <= 70; count++)
    assert.deepEqual(rootOf(frontierOf(leavesOf(count))), naiveRoot(leavesOf(count)), `${count} leaves`);
});

test('an inclusion proof proves its leaf at its place, and nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(sizes, fc.nat(), async (size, seed) => {
      const leaves = leavesOf(size);
      const index = seed % size;
      const root = naiveRoot(leaves);
      const proof = await proveInclusion(readerOf(leaves), index, size);
      assert.ok(verifyInclusion(proof, leaves[index]!, index, size, root));
      assert.ok(!verifyInclusion(proof, hashLeaf(Buffer.from('another')), index, size, root));
      assert.ok(!verifyInclusion(proof, leaves[index]!, index, size, hashLeaf(root)));
      assert.ok(!verifyInclusion([...proof, root], leaves[index]!, index, size, root));
      if (proof.length > 0) assert.ok(!verifyInclusion(proof.slice(1), leaves[index]!, index, size, root));
      if (size > 1) assert.ok(!verifyInclusion(proof, leaves[index]!, (index + 1) % size, size, root));
      assert.ok(!verifyInclusion(proof, leaves[index]!, size, size, root));
    }),
    { numRuns: 150 },
  );
});

test('a consistency proof proves growth, and no other history', async () => {
  await fc.assert(
    fc.asyncProperty(sizes, sizes, async (a, b) => {
      const [from, to] = [Math.min(a, b), Math.max(a, b)];
      const leaves = leavesOf(to);
      const first = { size: from, root: naiveRoot(leaves.slice(0, from)) };
      const second = { size: to, root: naiveRoot(leaves) };
      const proof = await proveConsistency(readerOf(leaves), from, to);
      assert.ok(verifyConsistency(proof, first, second));
      assert.ok(!verifyConsistency(proof, { ...first, root: hashLeaf(first.root) }, second));
      assert.ok(!verifyConsistency(proof, first, { ...second, root: hashLeaf(second.root) }));
      assert.ok(!verifyConsistency([...proof, first.root], first, second));
      if (from < to) assert.ok(!verifyConsistency(proof, second, first));
      if (proof.length > 0) assert.ok(!verifyConsistency(proof.slice(1), first, second));
    }),
    { numRuns: 150 },
  );
});

test('tile paths are those of C2SP tlog-tiles', () => {
  assert.equal(tilePath({ level: 0, index: 0, width: 256 }), 'tile/0/000');
  assert.equal(tilePath({ level: 1, index: 1_234_067, width: 256 }), 'tile/1/x001/x234/067');
  assert.equal(tilePath({ level: 0, index: 273, width: 112 }), 'tile/0/273.p/112');
  assert.equal(entriesPath(1_234, 256), 'tile/entries/x001/234');
  assert.deepEqual(
    [...tilesOf(70_000)].filter(({ level }) => level > 0),
    [...[256, 17].map((width, index) => ({ level: 1, index, width })), { level: 2, index: 0, width: 1 }],
  );
});

test('entry bundles give back their entries, and a cut or false one is refused', () => {
  const entries = [new Uint8Array(), Buffer.from('a'), Buffer.alloc(65_535, 7)];
  const bundle = encodeEntries(entries);
  assert.deepEqual(
    decodeEntries(bundle, 3).map((entry) => entry.length),
    [0, 1, 65_535],
  );
  assert.throws(() => decodeEntries(bundle.subarray(0, -1), 3), { code: 'log-invalid' });
  assert.throws(() => decodeEntries(bundle, 2), { code: 'log-invalid' });
  assert.throws(() => encodeEntries([Buffer.alloc(65_536)]), { code: 'log-invalid' });
});

test('a checkpoint opens for its own verifier, and for no other', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const note = signCheckpoint({ origin: 'log.example', size: 3, root: naiveRoot(leavesOf(3)) }, privateKey);
  const verifier = parseVerifier(encodeVerifier(noteVerifier('log.example', publicKey)));
  assert.equal(openCheckpoint(note, verifier).size, 3);
  const stranger = noteVerifier('log.example', generateKeyPairSync('ed25519').publicKey);
  const refused = [
    [note, stranger],
    [note, noteVerifier('other.example', publicKey)],
    [note.replace('\n3\n', '\n4\n'), verifier],
    [note.slice(0, -2), verifier],
    [note.slice(0, -1), verifier],
    ['', verifier],
    [signNote('log.example\n03\nAAAA\n', 'log.example', privateKey), verifier],
    [signNote(`other.example\n3\n${'A'.repeat(43)}=\n`, 'log.example', privateKey), verifier],
  ] as const;
  for (const [text, by] of refused) assert.throws(() => openCheckpoint(text, by), { code: 'log-invalid' }, text);
});

test('a broken verifier key is refused', () => {
  const text = encodeVerifier(noteVerifier('log.example', generateKeyPairSync('ed25519').publicKey));
  const [name, , key] = text.split('+');
  for (const broken of ['', 'x', `${name}+00000000+${key}`, text.slice(0, -1), text.replace('log', 'lag')])
    assert.throws(() => parseVerifier(broken), { code: 'log-invalid' }, broken);
  assert.throws(() => openNote('text\n', parseVerifier(text)), { code: 'log-invalid' });
});

test('canonical JSON sorts keys by UTF-16 code units and writes numbers as ECMAScript does (RFC 8785 section 3.2)', () => {
  assert.equal(
    canonicalJson({ b: 1, a: [true, null, 'é\u2028"'], '\u{1f600}': -0, '\ufb33': 1e21 }),
    '{"a":[true,null,"é\u2028\\""],"b":1,"\u{1f600}":0,"\ufb33":1e+21}',
  );
});

test('canonical JSON is the same for every order of keys, and parses back', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue({ maxDepth: 3 })), (value) => {
      const plain = JSON.parse(JSON.stringify(value)) as never;
      const reversed = Object.fromEntries(Object.entries(plain).toReversed()) as never;
      assert.equal(canonicalJson(reversed), canonicalJson(plain));
      assert.deepEqual(JSON.parse(canonicalJson(plain)), plain);
    }),
  );
});

test('canonical JSON refuses what JSON cannot say', () => {
  let deep: unknown = 1;
  for (let depth = 0; depth < 100; depth++) deep = [deep];
  for (const value of [
    Number.NaN,
    Number.POSITIVE_INFINITY,
    '\ud800',
    { '\udc00': 1 },
    undefined,
    { a: undefined },
    1n,
    new Date(),
    deep,
  ]) {
    assert.throws(() => canonicalJson(value as never), { code: 'input-invalid' });
  }
});
