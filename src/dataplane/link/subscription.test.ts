import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { DeltaDiscoveryResponseSchema, ResourceSchema } from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import { ACCEPTED } from './link-handlers.ts';
import { runSubscriptions, type Subscription, type SubscriptionOptions } from './subscription.ts';

const TYPE = 'type.example/Set';

/** Both connections of a link whose certificate was just renewed. */
function openTwo(): {
  readonly older: EventEmitter;
  readonly newer: EventEmitter;
  readonly applied: string[];
  readonly answers: EventEmitter;
} {
  const applied: string[] = [];
  const answers = new EventEmitter();
  const subscription: Subscription = {
    typeUrl: TYPE,
    names: ['example.test'],
    apply: async (_name, octets) => (applied.push(Buffer.from(octets).toString()), ACCEPTED),
  };
  let last: Promise<unknown> = Promise.resolve();
  const shared: Omit<SubscriptionOptions, 'turn'> = {
    subscriptions: [subscription],
    applied: new Map(),
    spoken: new Map(),
    log: () => {},
    inOrder: (_type, change) => {
      const result = last.then(change);
      last = result;
      void result.then(() => answers.emit('handled'));
      return result;
    },
    synchronized: () => {},
  };
  const open = (turn: number): EventEmitter => {
    const stream = Object.assign(new EventEmitter(), { write: () => true });
    runSubscriptions(stream as never, { ...shared, turn });
    return stream;
  };
  return { older: open(1), newer: open(2), applied, answers };
}

function responseOf(content: string) {
  const resource = create(ResourceSchema, {
    name: 'example.test',
    version: content,
    resource: { typeUrl: TYPE, value: Buffer.from(content) },
  });
  return create(DeltaDiscoveryResponseSchema, { typeUrl: TYPE, nonce: content, resources: [resource] });
}

test("an older connection's response that comes late does not bring back what the newer one's replaced", async () => {
  const { older, newer, applied, answers } = openTwo();
  for (const [stream, content] of [
    [older, 'set 1'],
    [newer, 'set 2'],
    [older, 'set 1, late'],
    [newer, 'set 3'],
  ] as const) {
    const handled = once(answers, 'handled');
    stream.emit('data', responseOf(content));
    await handled;
  }
  assert.deepEqual(applied, ['set 1', 'set 2', 'set 3']);
});

test('until the newer connection has spoken of a type, the older one is heard', async () => {
  const { older, applied, answers } = openTwo();
  const handled = once(answers, 'handled');
  older.emit('data', responseOf('set 1'));
  await handled;
  assert.deepEqual(applied, ['set 1']);
});
