import assert from 'node:assert/strict';
import { test } from 'node:test';
import { roles } from '../../control/access/role.ts';
import type { Route } from './route.ts';
import { type RouteName, routes } from './routes.ts';

const all = Object.entries(routes) as [RouteName, Route][];

test('no two routes answer to one method and path', () => {
  const keys = all.map(([, { method, path }]) => `${method} ${path.replaceAll(/:[a-zA-Z]+/g, ':x')}`);
  assert.equal(new Set(keys).size, keys.length);
});

test('every route names a role that exists, or says why it is public', () => {
  for (const [name, { role, public: reason }] of all) {
    assert.ok(role === undefined ? (reason?.length ?? 0) > 5 : roles.includes(role), name);
  }
});

test('what is public is few, and reads nothing but what is public anyway', () => {
  const names = all.filter(([, route]) => route.public !== undefined).map(([name]) => name);
  assert.deepEqual(names, [
    'exchange-bootstrap-token',
    'read-trust-bundle',
    'renew-by-certificate',
    'read-checkpoint',
    'read-verifier',
    'health',
  ]);
});

test('a route without a role does not type-check', () => {
  // @ts-expect-error -- neither role nor public
  const route: Route = { method: 'GET', path: '/v1/open', summary: '', scope: 'none' };
  // @ts-expect-error -- both
  const both: Route = { method: 'GET', path: '/v1/open', summary: '', scope: 'none', role: 'admin', public: 'why not' };
  assert.notEqual(route, both);
});

test('a route of scope one takes an environment, and a list can be narrowed to one', () => {
  for (const [name, { scope, query, body }] of all) {
    if (scope !== 'one' && scope !== 'listed') continue;
    const properties = [query, body].flatMap((schema) =>
      Object.keys((schema as { readonly properties?: object } | undefined)?.properties ?? {}),
    );
    assert.ok(properties.includes('environment'), name);
  }
});

test('every body and query refuses what it does not know', () => {
  for (const [name, { query, body }] of all) {
    for (const schema of [query, body]) {
      if (schema !== undefined) assert.equal((schema as { readonly additionalProperties?: unknown }).additionalProperties, false, name);
    }
  }
});

test('every path parameter of a route has a form', () => {
  for (const [name, { path, params }] of all) {
    const named = [...path.matchAll(/:([a-zA-Z]+)|(\*)/g)].map(([, parameter, star]) => parameter ?? star);
    assert.deepEqual(Object.keys((params as { readonly properties?: object } | undefined)?.properties ?? {}), named, name);
  }
});

test('what changes something is no GET, and what reads is no more than a viewer, auditor or admin may', () => {
  for (const [name, { method, role }] of all) {
    if (/^(create|revoke|apply|record|request|issue|renew|suspend|resume|start|pause|retry|weaken|order|exchange|erase)-/.test(name)) {
      assert.notEqual(method, 'GET', name);
      assert.notEqual(role, 'viewer', name);
      assert.notEqual(role, 'auditor', name);
    }
  }
});
