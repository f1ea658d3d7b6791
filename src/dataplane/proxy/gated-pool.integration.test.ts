import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { type GateLimits, GatedPool } from './gated-pool.ts';
import type { AnswerHead } from '../../core/http1/answer-head.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import type { Link, LinkedCall } from './http1-link.ts';
import { UpstreamFailure } from '../tls/upstream-failure.ts';

/** Leaves its answer lying. */
class UnreadCall implements LinkedCall {
  readonly method = 'GET';
  readonly wantsSwitch = false;
  readonly yields = (): boolean => false;
  readonly #onHeld: () => void;
  readonly onFailure: (reason: RefusalReason) => void;
  #link: Link | null = null;

  constructor(onHeld: () => void, onFailure: (reason: RefusalReason) => void) {
    this.#onHeld = onHeld;
    this.onFailure = onFailure;
  }

  onLink(link: Link): void {
    this.#link = link;
    link.write(Buffer.from('GET /long HTTP/1.1\r\nHost: lab\r\n\r\n'), true);
  }

  onRoom(): void {}

  onAnswer(): void {
    this.#link!.pause();
    this.#onHeld();
  }

  onContent(): void {}
  onSwitched(): void {}
}

class Call implements LinkedCall {
  readonly method = 'GET';
  readonly wantsSwitch = false;
  readonly yields: () => boolean;
  readonly onFailure: (reason: RefusalReason) => void;
  readonly #resolve: (status: number) => void;
  #status = 0;

  constructor(resolve: (end: number | RefusalReason) => void, yields = false) {
    this.yields = () => yields;
    this.#resolve = resolve;
    this.onFailure = resolve;
  }

  onLink(link: Link): void {
    link.write(Buffer.from('GET / HTTP/1.1\r\nHost: lab\r\n\r\n'), true);
  }

  onRoom(): void {}

  onAnswer({ start }: AnswerHead): void {
    this.#status = start.status;
  }

  onContent(_content: unknown, isLast: boolean): void {
    if (isLast) this.#resolve(this.#status);
  }

  onSwitched(): void {}
}

/** A service that answers only when told, a pool before it, and what the pool did. */
class Lab implements AsyncDisposable {
  readonly held: ServerResponse[] = [];
  readonly pool: GatedPool;
  dialing = 0;
  mostDialing = 0;
  dials = 0;
  readonly #server = createServer((request, response) => {
    if (request.url === '/long') response.write('x');
    else if (this.holds) this.held.push(response);
    else response.end('ok');
  });
  holds = false;

  constructor(limits: GateLimits) {
    this.pool = new GatedPool(async () => ({ socket: await this.#dial(), onOutcome: null }), limits);
  }

  async listen(): Promise<this> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    return this;
  }

  /** Resolves with the status, or why the call failed. */
  call(yields = false): Promise<number | RefusalReason> {
    const { promise, resolve } = Promise.withResolvers<number | RefusalReason>();
    this.pool.carry(new Call(resolve, yields));
    return promise;
  }

  /** Resolves when the answer has begun; `end` when the call was given up. */
  async callUnread(): Promise<{ readonly end: Promise<RefusalReason> }> {
    const held = Promise.withResolvers<void>();
    const end = Promise.withResolvers<RefusalReason>();
    this.pool.carry(new UnreadCall(held.resolve, end.resolve));
    await held.promise;
    return { end: end.promise };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pool.retire(0);
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #dial(): Promise<Socket> {
    this.dials += 1;
    this.mostDialing = Math.max(this.mostDialing, ++this.dialing);
    const socket = connect((this.#server.address() as AddressInfo).port, '127.0.0.1');
    await once(socket, 'connect');
    this.dialing -= 1;
    return socket;
  }
}

const LIMITS: GateLimits = { dials: 3, connections: 10, waiting: 200, waitMs: 20_000, heldMs: 20_000 };

test('a burst of calls makes few connections at a time, and every call is answered', async () => {
  await using lab = await new Lab(LIMITS).listen();
  const answers = await Promise.all(Array.from({ length: 150 }, () => lab.call()));
  assert.deepEqual(new Set(answers), new Set([200]));
  assert.ok(lab.mostDialing <= LIMITS.dials, `${lab.mostDialing} at a time`);
  assert.ok(lab.dials <= LIMITS.connections, `${lab.dials} connections`);
});

test('slow calls get connections up to the bound, and the rest their turn', async () => {
  await using lab = await new Lab({ ...LIMITS, connections: 5 }).listen();
  lab.holds = true;
  const calls = Array.from({ length: 12 }, () => lab.call());
  for (let answered = 0; answered < 12;) {
    const response = lab.held.shift();
    if (response === undefined) await new Promise((resolve) => setImmediate(resolve));
    else answered += (response.end('ok'), 1);
  }
  assert.deepEqual(new Set(await Promise.all(calls)), new Set([200]));
  assert.equal(lab.dials, 5);
});

test('of those that wait a caller that leaves other answers lying comes last', async () => {
  await using lab = await new Lab({ ...LIMITS, connections: 1 }).listen();
  const answered: string[] = [];
  lab.holds = true;
  const first = lab.call();
  while (lab.held.length === 0) await new Promise((resolve) => setImmediate(resolve));
  lab.holds = false;
  const others = ['lazy', 'good', 'lazy too', 'good too'].map((name) => lab.call(name.startsWith('lazy')).then(() => answered.push(name)));
  lab.held[0]!.end('ok');
  await Promise.all([first, ...others]);
  assert.deepEqual(answered, ['good', 'good too', 'lazy', 'lazy too']);
});

test('a call more than may wait is refused at once, and one that waited too long then', async () => {
  await using lab = await new Lab({ ...LIMITS, dials: 1, connections: 1, waiting: 1, waitMs: 50 }).listen();
  lab.holds = true;
  void lab.call();
  const waiting = lab.call();
  const refused = await lab.call();
  assert.equal(refused, 'limit-exceeded');
  assert.equal(await waiting, 'timeout');
});

test('a dial that fails frees its place', async () => {
  let refusals = 0;
  const pool = new GatedPool(
    () => Promise.reject(new UpstreamFailure('upstream-unreachable', `away ${++refusals}`, { isTransient: true })),
    { ...LIMITS, dials: 1 },
  );
  const call = (): Promise<unknown> => new Promise((resolve) => pool.carry(new Call(resolve)));
  assert.deepEqual(new Set(await Promise.all([call(), call(), call()])), new Set(['upstream-unreachable']));
  assert.ok(refusals >= 1);
  await pool.retire(0);
});

test('what waits when the pool retires is still sent, or refused at the end of the time', async () => {
  await using lab = await new Lab({ ...LIMITS, dials: 1, connections: 1 }).listen();
  lab.holds = true;
  const calls = [lab.call(), lab.call()];
  while (lab.held.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const retired = lab.pool.retire(20_000);
  lab.holds = false;
  lab.held.shift()!.end('ok');
  assert.deepEqual(await Promise.all(calls), [200, 200]);
  await retired;
  await using other = await new Lab({ ...LIMITS, dials: 1, connections: 1 }).listen();
  other.holds = true;
  const cut = [other.call(), other.call()];
  while (other.held.length === 0) await new Promise((resolve) => setImmediate(resolve));
  await other.pool.retire(0);
  for (const answer of await Promise.all(cut)) assert.equal(typeof answer, 'string');
});

test('where every connection is taken, answers that nobody reads lose theirs to the calls that wait, and only so many', async () => {
  await using lab = await new Lab({ ...LIMITS, connections: 2, heldMs: 10 }).listen();
  const first = await lab.callUnread();
  const second = await lab.callUnread();
  assert.equal(await lab.call(), 200);
  assert.equal(await first.end, 'timeout');
  const stays = Promise.race([second.end, lab.call()]);
  assert.equal(await stays, 200);
});

test('answers that nobody reads keep their connections while there are others', async () => {
  await using lab = await new Lab({ ...LIMITS, connections: 3, heldMs: 0 }).listen();
  const held = [await lab.callUnread(), await lab.callUnread()];
  assert.equal(await Promise.race([...held.map(({ end }) => end), lab.call()]), 200);
});
