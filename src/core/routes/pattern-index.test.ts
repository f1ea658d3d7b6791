import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostNameOf, parseMethod, parsePathPattern, parsePatternHost } from './call-pattern.ts';
import { normalPathOf } from './normal-path.ts';
import { PatternIndex } from './pattern-index.ts';

function indexOf(...rules: readonly (readonly [path: string, more?: { readonly methods?: readonly string[]; readonly host?: string }])[]) {
  const made = rules.map(([path, { methods = [], host = '' } = {}], name) => ({
    name,
    pattern: { methods, host, path: parsePathPattern(path) },
  }));
  const index = new PatternIndex(made);
  return (target: string, { method = 'GET', host = 'api.example' } = {}): number | string => {
    const found = index.find({ method, host, target });
    return found.kind === 'rule' ? found.rule.name : found.kind;
  };
}

test('PatternIndex finds exact paths, one segment in the place of *, and subtrees with their root', () => {
  const find = indexOf(['/v1/orders'], ['/v1/*/refunds'], ['/admin/**']);
  assert.deepEqual(
    ['/v1/orders', '/v1/orders/', '/v1/orders?x=/admin', '/v1/7/refunds', '/admin', '/admin/', '/admin/a/b'].map((target) => find(target)),
    [0, 0, 0, 1, 2, 2, 2],
  );
  assert.deepEqual(
    ['/', '/v1', '/v1/orders/1', '/v1/refunds', '/v1/7/8/refunds', '/administrator', '/v2/orders'].map((target) => find(target)),
    Array.from({ length: 7 }, () => 'none'),
  );
});

test('PatternIndex takes the first rule that applies, however the paths lie to each other', () => {
  assert.equal(indexOf(['/**'], ['/a'])('/a'), 0);
  assert.equal(indexOf(['/a/*'], ['/a/b'])('/a/b'), 0);
  assert.equal(indexOf(['/a/b'], ['/a/*'])('/a/b'), 0);
  assert.equal(indexOf(['/*/*'], ['/a/**'], ['/a/b'])('/a/b'), 0);
  const find = indexOf(['/a', { methods: ['POST'] }], ['/a', { host: 'other.example' }], ['/a', { methods: ['GET'] }], ['/**']);
  assert.deepEqual(
    [find('/a', { method: 'POST' }), find('/a'), find('/a', { host: 'other.example' }), find('/a', { method: 'PUT' })],
    [0, 2, 1, 3],
  );
});

test('a rule for GET is one for HEAD, which services answer by the same code', () => {
  const find = indexOf(['/a', { methods: ['GET'] }]);
  assert.deepEqual([find('/a', { method: 'HEAD' }), find('/a', { method: 'OPTIONS' })], [0, 'none']);
});

const spellings: readonly (readonly [string, string])[] = [
  ['a dot segment', '/x/../admin'],
  ['a dot segment at the end', '/admin/.'],
  ['an escaped dot segment', '/x/%2e%2E/admin'],
  ['a half-escaped dot segment', '/x/.%2e/admin'],
  ['an empty segment', '//admin'],
  ['an empty segment inside', '/admin//x'],
  ['an escaped slash', '/x%2F..%2Fadmin'],
  ['an escaped slash in lower case', '/admin%2fx'],
  ['a backslash', '/x\\..\\admin'],
  ['an escaped backslash', '/x%5Cadmin'],
  ['a path parameter', '/admin;a=b/x'],
  ['an escaped path parameter', '/admin%3Ba=b'],
  ['an escaped question mark', '/admin%3Fx'],
  ['an escaped fragment', '/admin%23x'],
  ['a fragment', '/admin#x'],
  ['an escape of an escape', '/%2561dmin'],
  ['an escaped NUL', '/admin%00'],
  ['an escaped line end', '/admin%0d%0a'],
  ['an overlong slash', '/x%C0%AFadmin'],
  ['cut UTF-8', '/admin%E2%82'],
  ['a broken escape', '/admin%4'],
  ['a control', '/admin\u0001'],
  ['a character above ASCII', '/admin\u00e9'],
  ['no slash at its beginning', 'admin'],
  ['an absolute form', 'http://api.example/admin'],
  ['the asterisk form', '*'],
  ['a very long path', `/${'a'.repeat(9_000)}`],
];

for (const [name, target] of spellings) {
  test(`normalPathOf() has no spelling for ${name}`, () => {
    assert.equal(normalPathOf(target), null);
    assert.equal(indexOf(['/other'])(target), 'ambiguous', 'whatever the rules are');
  });
}

test('normalPathOf() undoes escapes of unreserved characters, and writes all others in capitals', () => {
  assert.equal(normalPathOf('/%61dmin/%7ea%2d'), '/admin/~a-');
  assert.equal(normalPathOf('/a%c3%a9%20b'), '/a%C3%A9%20b');
  assert.equal(normalPathOf('/100%25'), '/100%25');
  assert.equal(indexOf(['/a%c3%a9'])('/a%C3%A9'), 0);
});

test('PatternIndex knows a path that differs by case from no other, and takes it for none', () => {
  const find = indexOf(['/Admin/**'], ['/other']);
  assert.deepEqual([find('/Admin/x'), find('/Admin/X')], [0, 0]);
  assert.deepEqual(
    ['/admin/x', '/ADMIN', '/%61dmin', '/OTHER'].map((target) => find(target)),
    Array.from({ length: 4 }, () => 'ambiguous'),
  );
});

test('PatternIndex takes a method that is not registered for ambiguous', () => {
  for (const method of ['get', 'G', 'CONNECT', '']) assert.equal(indexOf(['/a'])('/a', { method }), 'ambiguous', method);
});

test('PatternIndex takes a host that is no plain name or address for ambiguous', () => {
  const find = indexOf(['/a']);
  for (const host of ['', 'api.example', '127.0.0.1', '[::1]', 'a_b-1']) assert.equal(find('/a', { host }), 0, host);
  for (const host of ['api.example.', 'user@api.example', '%61pi.example', 'api.example,x', '[::1', 'a b', '.', '[]', 'api.example/'])
    assert.equal(find('/a', { host }), 'ambiguous', host);
});

test('PatternIndex stays quick where every segment of every rule is a wildcard or a letter', () => {
  const letters = ['a', '*'];
  const rules = Array.from({ length: 512 }, (_, bits): [string] => [
    `/${Array.from({ length: 9 }, (_item, at) => letters[(bits >> at) & 1]).join('/')}/end`,
  ]);
  const find = indexOf(...rules);
  assert.equal(find(`/${'a/'.repeat(9)}end`), 0);
  assert.equal(find(`/${'b/'.repeat(9)}end`), 511);
  assert.equal(find(`/${'a/'.repeat(9)}END`), 'ambiguous');
});

for (const text of ['', 'a', '/a?b', '/a/../b', '//', '/a//b', '/a*', '/a/**/b', '/**x', '/a;b', '/a%2Fb', `/a${'/a'.repeat(40)}`]) {
  test(`parsePathPattern() refuses ${JSON.stringify(text.slice(0, 20))}`, () => {
    assert.throws(() => parsePathPattern(text), { code: 'input-invalid' });
  });
}

test('parsePathPattern() gives one spelling', () => {
  assert.deepEqual(['/', '/a/', '/**', '/a/**', '/%61/*'].map(parsePathPattern), ['/', '/a', '/**', '/a/**', '/a/*']);
});

test('methods and hosts of patterns are of their form', () => {
  assert.deepEqual([parseMethod('POST'), parsePatternHost(''), parsePatternHost('API.example')], ['POST', '', 'api.example']);
  for (const method of ['post', 'CONNECT', '', '*']) assert.throws(() => parseMethod(method), { name: 'Problem' }, method);
  for (const host of ['a:80', '*.a', '[::1]', 'a/b']) assert.throws(() => parsePatternHost(host), { name: 'Problem' }, host);
});

test('hostNameOf() leaves port, case and final dot out', () => {
  assert.deepEqual(['API.example:8443', 'api.example.', 'api.example.:1', '[::1]:80', '[::1]', '127.0.0.1:1'].map(hostNameOf), [
    'api.example',
    'api.example',
    'api.example',
    '[::1]',
    '[::1]',
    '127.0.0.1',
  ]);
});
