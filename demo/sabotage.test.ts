import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sabotagedProduct } from './product.ts';
import { planes } from './plane.ts';
import { mutationsOf, type Sabotage, sabotages } from './sabotage.ts';

const root = join(import.meta.dirname, '..');

for (const sabotage of sabotages) {
  const { name, envoyDrain } = sabotage;
  test(`the sabotage ${name} finds each of its passages exactly once in the product`, () => {
    for (const plane of planes) assert.ok(mutationsOf(sabotage, plane).length > 0 || (plane === 'envoy' && envoyDrain !== undefined));
    for (const { file, find, replace } of mutationsOf(sabotage, 'mixed')) {
      assert.equal(readFileSync(join(root, file), 'utf8').split(find).length - 1, 1, file);
      assert.notEqual(find, replace);
    }
  });
}

test('sabotagedProduct() changes the copy only, and refuses a passage that is not there', () => {
  const into = mkdtempSync(join(tmpdir(), 'sabotage-'));
  try {
    const sabotage = sabotages[0]!;
    const { file, replace } = sabotage.mutations[0]!;
    const before = readFileSync(join(root, file), 'utf8');
    sabotagedProduct(root, into, sabotage);
    assert.ok(readFileSync(join(into, file), 'utf8').includes(replace));
    assert.equal(readFileSync(join(root, file), 'utf8'), before);
    const idle: Sabotage = { ...sabotage, mutations: [{ file, find: 'no such passage', replace: '' }] };
    assert.throws(() => sabotagedProduct(root, into, idle), /stands 0 times .*, expected once/);
  } finally {
    rmSync(into, { recursive: true, force: true });
  }
});
