import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { DAY_MS } from '../time/instant.ts';
import { newerRoot } from './newer-root.ts';

const now = Date.UTC(2026, 10, 1);
const [old, middle, young] = [now - 9 * DAY_MS, now - 5 * DAY_MS, now].map((at, index) => makeTestAuthority(at, `Root ${index}`).root);

test('newerRoot() tells of the newest, to whoever holds an older one', () => {
  const roots = [middle!, old!, young!];
  assert.equal(newerRoot(roots, old!.der), young);
  assert.equal(newerRoot(roots, middle!.der), young);
});

test('newerRoot() tells nothing to whoever holds the newest, none of them, or one as new', () => {
  assert.equal(newerRoot([old!, young!], young!.der), null);
  assert.equal(newerRoot([old!, young!], middle!.der), null);
  assert.equal(newerRoot([], old!.der), null);
  assert.equal(newerRoot([young!, makeTestAuthority(now, 'Twin').root], young!.der), null);
});
