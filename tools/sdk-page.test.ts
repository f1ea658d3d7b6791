import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const page = read('docs/reference/sdk.md');

test('the page of the SDK has every member of what open() gives, and every option of it', () => {
  const members = [...read('src/dataplane/sdk/countersign.ts').matchAll(/^ {2}(?:readonly |async |get )?([a-z]\w+)(?=[(:]| = )/gm)].map(
    ([, name]) => name!,
  );
  const options = [...read('src/dataplane/sdk/open.ts').matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, name]) => name!);
  assert.ok(members.length > 12 && options.length > 5, 'they are written in another way');
  for (const name of new Set([...members, ...options])) if (name !== 'constructor') assert.match(page, new RegExp(`\`${name}\\b`), name!);
});

test('the page has every field of a caller, and nothing is exported without being there', () => {
  const caller = /export type Caller = \{([\s\S]*?)\n\};/.exec(read('src/dataplane/sdk/identity-of.ts'))![1]!;
  for (const [, name] of caller.matchAll(/readonly (\w+):/g)) assert.ok(page.includes(`| \`${name}\` |`), name!);
});
