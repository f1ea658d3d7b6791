import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import fc from 'fast-check';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import { encodeDeltaResponse, encodeResource, type EncodedResource } from './encoded-resource.ts';
import { applySubscriptions, beginPush, endPush, firstState, planPush, type TypeState } from './type-state.ts';

const TYPE = 'type.example/thing';
const request = (init: MessageInitShape<typeof DeltaDiscoveryRequestSchema>) =>
  create(DeltaDiscoveryRequestSchema, { typeUrl: TYPE, ...init });
const resource = (name: string, version: string): EncodedResource => encodeResource(TYPE, name, version, Buffer.from(`${name} ${version}`));
const subscribe = (...names: string[]): TypeState => firstState(request({ resourceNamesSubscribe: names }));

/** Sends what is due and says what it was: `a@1` for a resource, `-a` for a removal; null for silence. */
function push(state: TypeState, current: readonly EncodedResource[], nonce = 'n', maximum = 100): string[] | null {
  const plan = planPush(state, current, { maximumPerResponse: maximum });
  if (!plan.due) return null;
  beginPush(state, plan, nonce);
  return [...plan.resources.map(({ name, version }) => `${name}@${version}`), ...plan.removed.map((name) => `-${name}`)];
}

function acknowledged(state: TypeState, current: readonly EncodedResource[], nonce = 'n'): string[] | null {
  const sent = push(state, current, nonce);
  if (sent !== null) endPush(state, nonce, null);
  return sent;
}

const reconnect = (versions: Record<string, string>, ...names: string[]) =>
  firstState(request({ resourceNamesSubscribe: names, initialResourceVersions: versions }));
const refusedState = (): TypeState => {
  const state = subscribe('a');
  acknowledged(state, [resource('a', '1')]);
  push(state, [resource('a', '2')], 'bad');
  endPush(state, 'bad', 'no');
  return state;
};

describe('a first subscription', () => {
  test('to everything is answered even if there is nothing, once', () => {
    const state = subscribe();
    assert.deepEqual(acknowledged(state, []), []);
    assert.equal(push(state, []), null);
  });
  test('to "*" is the same as to no names', () => {
    assert.deepEqual(acknowledged(subscribe('*'), []), []);
  });
  test('to a name that does not exist is answered with its removal at once, and not again', () => {
    const state = subscribe('a');
    assert.deepEqual(acknowledged(state, []), ['-a']);
    assert.equal(push(state, []), null);
    assert.deepEqual(acknowledged(state, [resource('a', '1')]), ['a@1']);
  });
  test('names only what was asked for', () => {
    const state = subscribe('a');
    assert.deepEqual(push(state, [resource('a', '1')]), ['a@1']);
  });
});

describe('a reconnecting client', () => {
  test('that has the current versions is sent nothing', () => {
    assert.equal(push(reconnect({ a: '1', b: '1' }, 'a', 'b'), [resource('a', '1'), resource('b', '1')]), null);
  });
  test('is sent only what differs, and told what is gone', () => {
    assert.deepEqual(push(reconnect({ a: '1', b: '1', c: '1' }, 'a', 'b', 'c'), [resource('a', '1'), resource('b', '2')]), ['b@2', '-c']);
  });
  test('that wants everything is told of what vanished meanwhile', () => {
    assert.deepEqual(push(reconnect({ a: '1', b: '1' }), [resource('a', '1')]), ['-b']);
  });
});

describe('later subscriptions', () => {
  test('to a name that the client has are answered with it all the same', () => {
    const state = subscribe('a');
    acknowledged(state, [resource('a', '1')]);
    applySubscriptions(state, request({ resourceNamesSubscribe: ['a'] }));
    assert.deepEqual(push(state, [resource('a', '1')]), ['a@1']);
  });
  test('a request without names is no wildcard once names were given', () => {
    const state = subscribe('a');
    applySubscriptions(state, request({ responseNonce: 'n' }));
    assert.equal(state.wildcard, false);
  });
  test('an unsubscribed name is not sent any more', () => {
    const state = subscribe('a', 'b');
    acknowledged(state, [resource('a', '1'), resource('b', '1')]);
    applySubscriptions(state, request({ resourceNamesUnsubscribe: ['a'] }));
    assert.deepEqual(push(state, [resource('b', '2')]), ['b@2']);
  });
  test('who wants everything and gives up one name is told again what became of it', () => {
    const state = subscribe('*', 'a');
    acknowledged(state, [resource('a', '1')]);
    applySubscriptions(state, request({ resourceNamesUnsubscribe: ['a'] }));
    assert.deepEqual(push(state, [resource('a', '1')]), ['a@1']);
  });
  test('refuses names past the limits', () => {
    assert.throws(() => subscribe('x'.repeat(1_025)), { code: 'input-invalid' });
    assert.throws(() => subscribe(...Array.from({ length: 5_001 }, (_, i) => `n${i}`)), { code: 'input-invalid' });
  });
});

describe('a refusal', () => {
  test('is not answered with the same content, however often the source changes', () => {
    const state = refusedState();
    for (let i = 0; i < 5; i++) assert.equal(push(state, [resource('a', '2')]), null);
  });
  test('is not answered with the same content even if it is asked for again', () => {
    const state = refusedState();
    applySubscriptions(state, request({ resourceNamesSubscribe: ['a'] }));
    assert.equal(push(state, [resource('a', '2')]), null);
  });
  test('ends with new content', () => {
    assert.deepEqual(push(refusedState(), [resource('a', '3')]), ['a@3']);
  });
  test('leaves the client with what it had: going back to it needs no push', () => {
    assert.equal(push(refusedState(), [resource('a', '1')]), null);
  });
  test('of the first version leaves the client with nothing', () => {
    const state = subscribe('a');
    push(state, [resource('a', '1')], 'bad');
    endPush(state, 'bad', 'no');
    assert.equal(state.known.get('a'), undefined);
  });
});

describe('nonces', () => {
  test('a stale or empty nonce ends nothing', () => {
    const state = subscribe('a');
    push(state, [resource('a', '1')], 'now');
    assert.equal(endPush(state, 'before', null), null);
    assert.equal(endPush(state, '', null), null);
    assert.equal(endPush(state, 'now', null)?.resources[0]?.name, 'a');
    assert.equal(endPush(state, 'now', null), null);
  });
});

test('what does not fit into one response goes into the next', () => {
  const state = subscribe('a', 'b');
  const current = [resource('a', '1'), resource('b', '1')];
  assert.deepEqual(push(state, current, '1', 1), ['a@1']);
  endPush(state, '1', null);
  assert.deepEqual(push(state, current, '2', 1), ['b@1']);
});

test('encodeDeltaResponse() makes the message that protobuf-es reads', () => {
  const octets = encodeDeltaResponse({ typeUrl: TYPE, nonce: '7', resources: [resource('a', '1')], removed: ['b'] });
  const response = fromBinary(DeltaDiscoveryResponseSchema, octets);
  assert.equal(response.nonce, '7');
  assert.equal(response.typeUrl, TYPE);
  assert.deepEqual(response.removedResources, ['b']);
  assert.equal(Buffer.from(response.resources[0]!.resource!.value).toString(), 'a 1');
  assert.equal(response.resources[0]!.resource!.typeUrl, TYPE);
});

/** A client that does what it is told: whatever happens on the way, it ends with the resources that it wants, as they are. */
test('property: every client converges to what it wants, and gets nothing that it has', () => {
  const names = fc.constantFrom('a', 'b', 'c', 'd');
  const step = fc.oneof(
    fc.record({ kind: fc.constant('change' as const), name: names, version: fc.constantFrom('1', '2', '3', null) }),
    fc.record({ kind: fc.constant('subscribe' as const), name: fc.oneof(names, fc.constant('*')) }),
    fc.record({ kind: fc.constant('unsubscribe' as const), name: fc.oneof(names, fc.constant('*')) }),
    fc.record({ kind: fc.constant('push' as const), maximum: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ kind: fc.constant('answer' as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const world = new Map<string, string>();
      const client = new Map<string, string>();
      const state = subscribe('a');
      const read = () =>
        [...world]
          .filter(([name]) => state.wildcard || state.named.has(name) || state.owed.has(name))
          .map(([name, version]) => resource(name, version));
      let inFlight: TypeState['outstanding'] = null;
      const send = (maximum: number): boolean => {
        if (state.outstanding !== null) return false;
        const sent = push(state, read(), 'n', maximum) !== null;
        inFlight = state.outstanding;
        return sent;
      };
      const answer = (): void => {
        for (const { name, version } of inFlight?.resources ?? []) client.set(name, version);
        for (const name of inFlight?.removed ?? []) client.delete(name);
        inFlight = null;
        endPush(state, 'n', null);
      };
      for (const step of steps) {
        if (step.kind === 'change' && step.version === null) world.delete(step.name);
        else if (step.kind === 'change') world.set(step.name, step.version!);
        else if (step.kind === 'subscribe') applySubscriptions(state, request({ resourceNamesSubscribe: [step.name] }));
        else if (step.kind === 'unsubscribe') applySubscriptions(state, request({ resourceNamesUnsubscribe: [step.name] }));
        else if (step.kind === 'push') send(step.maximum);
        else answer();
      }
      answer();
      let rounds = 0;
      while (send(2)) {
        answer();
        assert.ok(++rounds < 20, 'the server never falls silent');
      }
      for (const [name, version] of read().map(({ name, version }) => [name, version] as const)) {
        if (state.wildcard || state.named.has(name)) assert.equal(client.get(name), version);
      }
      for (const name of state.named) assert.equal(client.get(name), world.get(name));
    }),
    { numRuns: 500 },
  );
});

test('what needs a cluster that is not ready waits for it, others do not, and what is had stays', () => {
  const state = subscribe('a', 'b');
  acknowledged(state, [resource('a', '1'), resource('b', '1')]);
  const current = [{ ...resource('a', '2'), needs: ['new'] }, resource('b', '2')];
  const plan = (unready: readonly string[]) => planPush(state, current, { maximumPerResponse: 9, unready: new Set(unready) });
  const early = plan(['new', 'other']);
  assert.deepEqual([early.resources.map(({ name }) => name), early.removed, early.waits, early.more], [['b'], [], true, true]);
  assert.deepEqual(
    plan(['other']).resources.map(({ name }) => name),
    ['a', 'b'],
  );
  assert.equal(plan([]).waits, false);
});

test('what differs in a mark alone goes last, and nothing waits for it', () => {
  const state = subscribe('a', 'b', 'c');
  acknowledged(
    state,
    ['a', 'b', 'c'].map((name) => resource(name, '1')),
  );
  const marked = (name: string, sameBut: readonly string[]) => ({ ...resource(name, '2'), sameBut: new Set(sameBut) });
  const plan = (...current: EncodedResource[]) => planPush(state, current, { maximumPerResponse: 1 });
  const brief = ({ resources, more, urgent }: ReturnType<typeof plan>) => [resources.map(({ name }) => name), more, urgent];
  assert.deepEqual(brief(plan(marked('a', ['1']), marked('b', ['0', '1']), resource('c', '1'))), [['a'], false, false]);
  assert.deepEqual(brief(plan(marked('a', ['1']), resource('b', '2'), resource('c', '2'))), [['b'], true, true]);
  assert.deepEqual(brief(plan(marked('a', ['1']), resource('b', '1'), resource('c', '2'))), [['c'], false, true]);
  // Who has something else, or nothing, has more to lose than connections.
  assert.deepEqual(brief(plan(marked('a', ['0']), marked('b', ['0']), resource('c', '1'))), [['a'], true, true]);
  const fresh = planPush(subscribe('a', 'b'), [marked('a', ['1']), marked('b', ['1'])], { maximumPerResponse: 1 });
  assert.deepEqual([fresh.more, fresh.urgent], [true, true]);
});
