import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { exceptionKinds } from '../../core/policy/exception-kind.ts';
import { defaultPolicy } from '../../core/policy/policy.ts';
import { tlsGroups } from '../../core/policy/tls-parameters.ts';
import { defaultRolloutConfig } from '../../core/rollout/rollout-config.ts';
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

test('the page has every field that the parser knows', () => {
  const parsers = ['declaration', 'inbound', 'external', 'anonymous', 'federated-domain'];
  const parser = parsers.map((name) => readFileSync(new URL(`./parse-${name}.ts`, import.meta.url), 'utf8')).join('');
  const read = [...parser.matchAll(/\.(?:text|word|texts|maps|map|plain|number|flag)\('(\w+)'/g)].map(([, field]) => field!);
  assert.ok(read.length > 25, 'the parser reads its fields in another way');
  for (const field of new Set(read)) assert.match(page, new RegExp(`^\\| \`(?:\\w+(?:\\[\\])?\\.)?${field}\` \\|`, 'm'));
});

test('the page has every field of a profile', () => {
  const parser = readFileSync(new URL('../../core/issuance/parse-profile-spec.ts', import.meta.url), 'utf8');
  const section = page.slice(page.indexOf('## Profile')).split(/^## /m)[1]!;
  const read = [...parser.matchAll(/(?:spec|lifetime|keys|names|asker|approvals)\['(\w+)'\]/g)].map(([, field]) => field!);
  assert.ok(new Set(read).size > 15, 'the parser reads its fields in another way');
  for (const field of new Set(read)) assert.match(section, new RegExp(`\\| \`[^\`]*\\b${field}\``), field);
});

test('the page has the conditions of a target and the content of a policy, with the defaults of the code', () => {
  const numbersOf = (value: object, path = ''): [string, unknown][] =>
    Object.entries(value).flatMap(([key, inner]) =>
      typeof inner === 'object' && inner !== null && !Array.isArray(inner)
        ? numbersOf(inner as object, `${path}${key}.`)
        : [[path + key, inner] as [string, unknown]],
    );
  for (const [heading, defaults] of [
    ['## Policy', defaultPolicy],
    ['## Target', defaultRolloutConfig],
  ] as const) {
    const section = page.slice(page.indexOf(heading)).split(/^## /m)[1]!;
    for (const [field, value] of numbersOf(defaults)) {
      const row = section.split('\n').find((line) => line.startsWith(`| \`${field}\` |`));
      assert.ok(row !== undefined, field);
      if (value === null) assert.equal(row.split(' | ')[2], 'none', field);
      else if (!Array.isArray(value)) assert.equal(row.split(' | ')[2], `\`${String(value)}\``, field);
    }
  }
  for (const group of Object.keys(tlsGroups)) assert.ok(page.includes(`\`${group}\``), group);
});
