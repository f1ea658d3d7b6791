import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { exceptionKinds } from '../../core/policy/exception-kind.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { declarationKinds } from './declaration.ts';
import { parseDeclaration } from './parse-declaration.ts';

const page = readFileSync(new URL('../../../docs/reference/declarations.md', import.meta.url), 'utf8');
const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text!);

test('every example of the page is a declaration, and every kind has one', () => {
  const anchor = encodePem('CERTIFICATE', makeTestAuthority(Date.UTC(2026, 10, 24)).root.der)
    .trim()
    .replaceAll(/^/gm, '    ');
  // The certificate of the page is cut short; a whole one takes its place.
  const whole = examples.map((text) => text.replace(/ {4}-----BEGIN[\s\S]*END CERTIFICATE-----/, anchor));
  const kinds = new Set(whole.flatMap(parseDeclaration).map(({ kind }) => kind));
  assert.deepEqual(kinds, new Set(declarationKinds));
});

test('the page has every kind of exception, as the table in the code has it', () => {
  for (const [kind, { holdsPath, meaning }] of Object.entries(exceptionKinds)) {
    assert.ok(page.includes(`| \`${kind}\` | ${holdsPath ? 'yes' : 'no'} | ${meaning} |`), kind);
  }
});
