import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Metadata, status } from '@grpc/grpc-js';
import { Channel, Outcome, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { callUnary, echo, openGrpcPair } from '../../../test/support/grpc-lab.ts';

test('a unary call passes two proxies and arrives with the identity of its caller', async () => {
  const seen: (readonly unknown[])[] = [];
  await using pair = await openGrpcPair({
    unary(call, callback) {
      seen.push(call.metadata.get('x-forwarded-client-cert'), call.metadata.get('x-call'), call.metadata.get('x-bin-bin'));
      const initial = new Metadata();
      initial.set('x-initial', 'i');
      call.sendMetadata(initial);
      const trailers = new Metadata();
      trailers.add('x-trailer', 't');
      trailers.set('x-binary-bin', Buffer.from([0, 255, 1]));
      callback(null, call.request, trailers);
    },
  });
  const metadata = new Metadata();
  metadata.add('x-call', '1');
  metadata.add('x-call', '2');
  metadata.set('x-bin-bin', Buffer.from([0, 1, 2]));
  metadata.set('x-forwarded-client-cert', 'forged');
  const { value, error, initial, trailers } = await callUnary(pair.client, 'hello', { metadata });
  assert.deepEqual([value?.toString(), error], ['hello', null]);
  assert.deepEqual([initial.get('x-initial'), trailers.get('x-trailer')], [['i'], ['t']]);
  assert.deepEqual(trailers.get('x-binary-bin'), [Buffer.from([0, 255, 1])]);
  const [certificate, call, binary] = seen;
  assert.equal(certificate!.length, 1);
  assert.match(String(certificate![0]), /URI=spiffe:\/\/acme\.example\/test\/storefront$/);
  assert.deepEqual([String(call), binary], ['1, 2', [Buffer.from([0, 1, 2])]]);
  const counted = (report: ReturnType<typeof pair.receiver.proxy.takeReport>) =>
    report.counts!.filter(({ unit }) => unit === Unit.CALL).map(({ channel, outcome, count }) => [channel, outcome, count]);
  assert.deepEqual(counted(pair.receiver.proxy.takeReport()), [[Channel.MTLS, Outcome.ACCEPTED, 1n]]);
  assert.deepEqual(counted(pair.caller.proxy.takeReport()), [[Channel.MTLS, Outcome.ACCEPTED, 1n]]);
});

test('an error arrives with its code, its text and its trailers', async () => {
  await using pair = await openGrpcPair({
    unary(_call, callback) {
      const metadata = new Metadata();
      metadata.set('x-detail', 'd');
      callback({ code: status.FAILED_PRECONDITION, details: 'not today: 100 % ü', metadata });
    },
  });
  const { error, trailers } = await callUnary(pair.client, 'hello');
  assert.deepEqual([error?.code, error?.details, trailers.get('x-detail')], [status.FAILED_PRECONDITION, 'not today: 100 % ü', ['d']]);
});

test('all three kinds of streaming pass, large messages included', async () => {
  await using pair = await openGrpcPair();
  const { collect, repeat, chat } = echo;
  const large = Buffer.alloc(8_000_000, 'm');
  const collected = new Promise<Buffer | undefined>((resolve, reject) => {
    const call = pair.client.makeClientStreamRequest(collect.path, collect.requestSerialize, collect.responseDeserialize, (error, value) =>
      error === null ? resolve(value) : reject(error),
    );
    call.write(large);
    call.write(Buffer.from('end'));
    call.end();
  });
  assert.equal((await collected)!.length, large.length + 3);
  const repeated: number[] = [];
  const down = pair.client.makeServerStreamRequest(repeat.path, repeat.requestSerialize, repeat.responseDeserialize, large);
  down.on('data', (part: Buffer) => repeated.push(part.length));
  await once(down, 'end');
  assert.deepEqual(
    repeated,
    Array.from({ length: 5 }, () => large.length),
  );
  const both = pair.client.makeBidiStreamRequest(chat.path, chat.requestSerialize, chat.responseDeserialize);
  for (const word of ['a', 'b', 'c']) {
    both.write(Buffer.from(word));
    assert.equal(String((await once(both, 'data'))[0]), word);
  }
  both.end();
  both.resume();
  await once(both, 'end');
});

test('a deadline ends the call at both ends, and a cancellation reaches the service', async () => {
  const cancelled: Promise<void>[] = [];
  await using pair = await openGrpcPair({
    unary: (call) => void cancelled.push(new Promise((resolve) => call.once('cancelled', () => resolve()))),
    chat: (call) => {
      cancelled.push(new Promise((resolve) => call.once('cancelled', () => resolve())));
      call.write(Buffer.from('open'));
    },
  });
  const { error } = await callUnary(pair.client, 'hello', { deadlineMs: 100 });
  assert.equal(error?.code, status.DEADLINE_EXCEEDED);
  const { path, requestSerialize, responseDeserialize } = echo.chat;
  const call = pair.client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  await once(call, 'data');
  call.cancel();
  const [failure] = (await once(call, 'error')) as [{ readonly code: number }];
  assert.equal(failure.code, status.CANCELLED);
  assert.equal(cancelled.length, 2);
  await Promise.all(cancelled);
});

test('a service that is away is answered for with UNAVAILABLE, by trailers only', async () => {
  await using pair = await openGrpcPair();
  await callUnary(pair.client, 'hello');
  await pair.receiver[Symbol.asyncDispose]();
  const { error, trailers } = await callUnary(pair.client, 'hello');
  assert.equal(error?.code, status.UNAVAILABLE);
  assert.deepEqual(trailers.get('countersign-failure'), ['upstream-unreachable']);
});
