import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeBearerToken, hashTokenSecret, newTokenSecret, parseBearerToken, tokenSecretMatches } from './bearer-token.ts';
import { mayAct, type Principal } from './principal.ts';
import { type Role, roleCovers, roles } from './role.ts';

const holder = (role: Role, scope: Principal['scope']): Principal => ({ tokenId: 'token_x', name: 'x', role, scope });

test('every role covers itself, admin covers all, and nobody else covers admin', () => {
  for (const role of roles) {
    assert.equal(roleCovers(role, role), true);
    assert.equal(roleCovers('admin', role), true);
    assert.equal(roleCovers(role, 'admin'), role === 'admin');
  }
});

test('a role covers nothing beside its own ladder', () => {
  const uncovered: readonly (readonly [Role, Role])[] = [
    ['operator', 'auditor'],
    ['auditor', 'operator'],
    ['partner-manager', 'operator'],
    ['partner-manager', 'auditor'],
    ['ci', 'viewer'],
    ['ci', 'operator'],
    ['viewer', 'ci'],
    ['viewer', 'auditor'],
  ];
  for (const [held, demanded] of uncovered) assert.equal(roleCovers(held, demanded), false, `${held} for ${demanded}`);
});

test('mayAct() refuses another environment, and all environments at once to a scoped holder', () => {
  assert.equal(mayAct(holder('admin', ['staging']), 'viewer', 'staging'), true);
  assert.equal(mayAct(holder('admin', ['staging']), 'viewer', 'production'), false);
  assert.equal(mayAct(holder('admin', ['staging']), 'viewer', '*'), false);
  assert.equal(mayAct(holder('admin', []), 'viewer', 'staging'), false);
  assert.equal(mayAct(holder('viewer', '*'), 'operator', 'staging'), false);
  assert.equal(mayAct(holder('viewer', '*'), 'viewer', '*'), true);
});

test('a bearer token survives its text, and its text is nothing that prints', () => {
  const secret = newTokenSecret();
  const tokenId = 'token_00000000000000000000000000';
  const text = encodeBearerToken({ tokenId, secret });
  assert.equal(`${text}`, '[secret]');
  const parsed = parseBearerToken(text.reveal());
  assert.equal(parsed?.tokenId, tokenId);
  assert.equal(parsed?.secret.reveal(), secret.reveal());
});

test('parseBearerToken() refuses every other text', () => {
  const good = encodeBearerToken({ tokenId: 'token_00000000000000000000000000', secret: newTokenSecret() }).reveal();
  const refused = [
    '',
    'cst1.',
    good.slice(1),
    good.slice(0, -1),
    `${good}A`,
    `${good}.x`,
    good.replace('cst1', 'cst2'),
    good.replace('token_', 'proxy_'),
  ];
  refused.push(good.replace('token_0', 'token_u'), ` ${good}`, `${good}\n`, `cst1.${'x'.repeat(10_000)}`, good.toUpperCase());
  for (const text of refused) assert.equal(parseBearerToken(text), null, text.slice(0, 80));
});

test('tokenSecretMatches() refuses another secret, and everything where nothing is stored', () => {
  const secret = newTokenSecret();
  assert.equal(tokenSecretMatches(secret, hashTokenSecret(secret)), true);
  assert.equal(tokenSecretMatches(newTokenSecret(), hashTokenSecret(secret)), false);
  assert.equal(tokenSecretMatches(secret, null), false);
  assert.equal(tokenSecretMatches(secret, new Uint8Array(32)), false);
});
