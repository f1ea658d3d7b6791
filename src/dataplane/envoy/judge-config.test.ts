import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EnvoyResource } from '../../core/envoy/envoy-resource.ts';
import type { ActiveResource } from './active-config.ts';
import { type ActiveConfig, errorsOf, judgeConfig } from './judge-config.ts';

const numbers = { generation: 5n, bundle: 2n, revoked: 7n };
const none: ReadonlySet<string> = new Set();

function resource(name: string, digest: string): EnvoyResource {
  return { typeUrl: 't', name, digest, octets: new Uint8Array() };
}

const expected = {
  clusters: [resource('c', 'c5')],
  endpoints: [resource('c', 'e5')],
  secrets: [resource('s', 's5')],
  listeners: [resource('cs|l', 'l5')],
  routes: [resource('r', 'r5')],
};

function at(version: string | null, error: ActiveResource['error'] = null): ActiveResource {
  return { version, error };
}

function active(change: Partial<ActiveConfig> = {}): ActiveConfig {
  return {
    clusters: new Map([['c', at('5.2.7.c5')]]),
    endpoints: new Map([['c', at('.e5')]]),
    secrets: new Map([
      ['s', at('1.1.1.s5')],
      ['countersign_identity', at('ab')],
    ]),
    listeners: new Map([['cs|l', at('3.2.7.l5')]]),
    routes: new Map([['r', at('5.2.7.r5')]]),
    ...change,
  };
}

function judge(change: Partial<ActiveConfig>, known = none) {
  return judgeConfig(expected, active(change), { numbers, known });
}

test('true is what has every expected content, whatever generation it came with', () => {
  assert.deepEqual(judge({}), { kind: 'true' });
  assert.deepEqual(judge({ listeners: new Map([['cs|l', at('5.2.7.l5', { details: 'bad curve', at: '1' })]]) }), { kind: 'true' });
});

test('anything that is missing, old or only warming is waited for', () => {
  for (const [kind, name] of [
    ['clusters', 'c'],
    ['endpoints', 'c'],
    ['secrets', 's'],
    ['listeners', 'cs|l'],
    ['routes', 'r'],
  ] as const) {
    assert.equal(judge({ [kind]: new Map() }).kind, 'waiting', kind);

    for (const version of [null, '4.2.7.old', '5.2.7.other', 'l5x', '']) {
      assert.equal(judge({ [kind]: new Map([[name, at(version)]]) }).kind, 'waiting', `${kind} ${version}`);
    }
  }
});

test('a port that is not expected any more is not in force, one of the operator’s own says nothing', () => {
  const listeners = new Map([
    ['cs|l', at('5.2.7.l5')],
    ['cs|old', at('4.2.7.x')],
  ]);
  assert.equal(judge({ listeners }).kind, 'waiting');
  assert.deepEqual(
    judge({
      listeners: new Map([
        ['cs|l', at('5.2.7.l5')],
        ['own', at('1')],
      ]),
    }),
    { kind: 'true' },
  );
});

test('a refusal is told with the resource and Envoy’s own words, and an older one is none', () => {
  const error = { details: 'Failed to initialize ECDH curves nonsense', at: '2026-11-28T14:00:00Z' };
  const listeners = new Map([['cs|l', at('4.2.7.l4', error)]]);
  assert.deepEqual(judge({ listeners }), { kind: 'refused', detail: `cs|l: ${error.details}` });
  const known = errorsOf(active({ listeners }));
  const verdict = judge({ listeners }, known);
  assert.equal(verdict.kind, 'waiting');
  assert.match(verdict.kind === 'waiting' ? verdict.detail : '', /refused one before: Failed to initialize/);
  const again = new Map([['cs|l', at('4.2.7.l4', { ...error, at: '2026-11-28T14:00:09Z' })]]);
  assert.equal(judge({ listeners: again }, known).kind, 'refused');
});

test('what went again with later settings is not waited for; with a later revocation alone it is', () => {
  const routes = new Map([['r', at('6.2.7.r6')]]);
  assert.deepEqual(judge({ routes, clusters: new Map() }), { kind: 'overtaken' });
  assert.equal(judge({ routes: new Map([['r', at('5.2.8.r6')]]), clusters: new Map() }).kind, 'waiting');
});

test('what differs because it is later overtakes; one older difference is still waited for', () => {
  for (const version of ['6.2.7.r6', '5.3.7.r6', '5.2.8.r6']) {
    const routes = new Map([['r', at(version)]]);
    assert.deepEqual(judge({ routes }), { kind: 'overtaken' }, version);
    assert.equal(judge({ routes, clusters: new Map([['c', at('4.2.7.c4')]]) }).kind, 'waiting', version);
  }
});
