import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { Mode, Protocol } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Channel, Outcome, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import {
  clientOptions,
  inboundTo,
  loopback,
  type Origin,
  ProxyLab,
  STOREFRONT,
  STRANGER,
  tcpOrigin,
} from '../../../test/support/proxy-lab.ts';

const KEEP_ALIVE = 'GET / HTTP/1.1\r\nHost: orders\r\n\r\n';

/** A caller that keeps its connection. */
class Caller {
  readonly socket: Socket;
  #text = '';

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => (this.#text += chunk.toString('latin1')));
  }

  /** The next answer, head and body; empty if the connection closed instead. */
  async call(): Promise<string> {
    this.#text = '';
    this.socket.write(KEEP_ALIVE);
    while (!this.#isWhole()) {
      if (this.socket.destroyed || this.socket.readableEnded) return this.#text;
      await Promise.race([once(this.socket, 'data'), once(this.socket, 'close'), once(this.socket, 'end')]);
    }
    return this.#text;
  }

  #isWhole(): boolean {
    const end = this.#text.indexOf('\r\n\r\n');
    if (end < 0) return false;
    const length = Number(/content-length: (\d+)/i.exec(this.#text)?.[1] ?? 0);
    return this.#text.length >= end + 4 + length;
  }
}

async function openLab(mode: 'observe' | 'permissive' | 'enforce'): Promise<{ lab: ProxyLab; origin: Origin; port: number }> {
  const lab = new ProxyLab();
  const origin = await lab.origin(
    (request, response) => void request.resume().on('end', () => response.setHeader('Content-Length', 2).end('ok')),
  );
  await lab.proxy.applyTrustBundle(lab.bundle());
  await lab.apply({ inbound: [inboundTo(origin.port, mode)] });
  return { lab, origin, port: lab.portOf(0) };
}

async function callerInClear(port: number): Promise<Caller> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return new Caller(socket);
}

async function callerAs(lab: ProxyLab, port: number, spiffeId: string): Promise<Caller> {
  const socket = connectTls({
    host: '127.0.0.1',
    port,
    rejectUnauthorized: false,
    ...clientOptions(lab.authority.issue({ uris: [spiffeId] })),
  });
  await once(socket, 'secureConnect');
  return new Caller(socket);
}

test('when the mode rises, an open plaintext connection is told to end with its next answer, and new ones are refused', async () => {
  const { lab, origin, port } = await openLab('permissive');
  await using _ = lab;
  const old = await callerInClear(port);
  assert.match(await old.call(), /^HTTP\/1\.1 200 /);
  assert.equal(lab.proxy.takeReport().open![0]!.count, 1);
  await lab.apply({ inbound: [inboundTo(origin.port, 'enforce', { drainMs: 60_000 })] });
  assert.equal(await (await callerInClear(port)).call(), '', 'a new connection is refused');
  const last = await old.call();
  assert.match(last, /^HTTP\/1\.1 200 /);
  assert.match(last, /\r\nconnection: close\r\n/i);
  if (!old.socket.destroyed) await once(old.socket, 'close');
  const report = lab.proxy.takeReport();
  assert.deepEqual(
    report.open!.map(({ channel, count }) => [channel, count]),
    [[Channel.PLAINTEXT, 0]],
  );
  const calls = report.counts!.filter(({ unit, generation }) => unit === Unit.CALL && generation === 2n);
  assert.deepEqual(
    calls.map(({ outcome, reason }) => [outcome, reason]),
    [[Outcome.WOULD_REFUSE, 'plaintext']],
  );
});

test('an old plaintext connection that stays idle is cut when the drain time is over', async () => {
  const { lab, origin, port } = await openLab('permissive');
  await using _ = lab;
  const old = await callerInClear(port);
  await old.call();
  const closed = once(old.socket, 'close');
  await lab.apply({ inbound: [inboundTo(origin.port, 'enforce', { drainMs: 50 })] });
  await closed;
  await until(() => lab.proxy.takeReport().open!.every(({ count }) => count === 0));
});

test('mutual TLS of an allowed caller lives on when the mode rises', async () => {
  const { lab, origin, port } = await openLab('permissive');
  await using _ = lab;
  const good = await callerAs(lab, port, STOREFRONT);
  const stranger = await callerAs(lab, port, STRANGER);
  await Promise.all([good.call(), stranger.call()]);
  await lab.apply({ inbound: [inboundTo(origin.port, 'enforce', { drainMs: 50 })] });
  await once(stranger.socket, 'close');
  assert.doesNotMatch(await good.call(), /connection: close/i);
});

test('when the mode falls again before the drain time is over, nothing is cut', async () => {
  const { lab, origin, port } = await openLab('permissive');
  await using _ = lab;
  const old = await callerInClear(port);
  await old.call();
  await lab.apply({ inbound: [inboundTo(origin.port, 'enforce', { drainMs: 300 })] });
  await lab.apply({ inbound: [inboundTo(origin.port, 'permissive', { drainMs: 300 })] });
  await once(AbortSignal.timeout(400), 'abort');
  assert.doesNotMatch(await old.call(), /connection: close/i);
});

for (const what of ['revoked', 'suspended'] as const) {
  test(`an idle connection of a ${what} identity is closed at once, and a busy one takes no further call`, async () => {
    const lab = new ProxyLab();
    await using _ = lab;
    const held = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    const origin = await lab.origin(async (_request, response) => {
      if (origin.requests.length > 1) {
        arrived.resolve();
        await held.promise;
      }
      response.setHeader('Content-Length', 2).end('ok');
    });
    await lab.proxy.applyTrustBundle(lab.bundle());
    await lab.apply({ inbound: [inboundTo(origin.port, 'enforce')] });
    const credential = lab.authority.issue({ uris: [STOREFRONT] });
    const open = async (): Promise<Caller> => {
      const socket = connectTls({ host: '127.0.0.1', port: lab.portOf(0), rejectUnauthorized: false, ...clientOptions(credential) });
      await once(socket, 'secureConnect');
      return new Caller(socket);
    };
    const idle = await open();
    assert.match(await idle.call(), /^HTTP\/1\.1 200 /);
    const busy = await open();
    const answer = busy.call();
    await arrived.promise;
    const closed = once(idle.socket, 'close');
    lab.revoke(what === 'revoked' ? { credentials: [credential] } : { suspended: [STOREFRONT] });
    await closed;
    held.resolve();
    const last = await answer;
    assert.match(last, /^HTTP\/1\.1 200 /);
    assert.match(last, /\r\nconnection: close\r\n/i);
    assert.equal(origin.requests.length, 2);
  });
}

test('a call on a busy connection of an identity suspended since is refused, and no octet of it goes on', async () => {
  const held = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  const lab = new ProxyLab();
  await using _ = lab;
  const origin = await lab.origin(async (_request, response) => {
    arrived.resolve();
    await held.promise;
    response.setHeader('Content-Length', 2).end('ok');
  });
  await lab.proxy.applyTrustBundle(lab.bundle());
  await lab.apply({ inbound: [inboundTo(origin.port, 'enforce')] });
  const caller = await callerAs(lab, lab.portOf(0), STOREFRONT);
  const first = caller.call();
  await arrived.promise;
  lab.revoke({ suspended: [STOREFRONT] });
  caller.socket.write(KEEP_ALIVE);
  await until(() => lab.log.some(({ event }) => event === 'call refused'));
  held.resolve();
  assert.match(await first, /^HTTP\/1\.1 200 /);
  assert.equal(origin.requests.length, 1);
  const [refusal] = lab.refusals();
  assert.deepEqual([refusal!.reason, refusal!.caller], ['suspended', STOREFRONT]);
});

test('a call that was sent ahead and allowed then does not go on once its identity is suspended', async () => {
  const half = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const lab = new ProxyLab();
  await using _ = lab;
  const origin = await lab.origin(async (_request, response) => {
    response.writeHead(200, { 'Content-Length': 2 }).write('o', () => half.resolve());
    await held.promise;
    response.end('k');
  });
  await lab.proxy.applyTrustBundle(lab.bundle());
  await lab.apply({ inbound: [inboundTo(origin.port, 'enforce')] });
  const caller = await callerAs(lab, lab.portOf(0), STOREFRONT);
  caller.socket.write(KEEP_ALIVE + KEEP_ALIVE);
  // Its answer's head is on its way, so nothing more can be said there of the connection's end.
  await Promise.all([half.promise, once(caller.socket, 'data')]);
  const closed = once(caller.socket, 'close');
  lab.revoke({ suspended: [STOREFRONT] });
  held.resolve();
  await closed;
  assert.equal(origin.requests.length, 1);
});

test('raw TCP of a revoked identity is destroyed at once', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  const { port } = await tcpOrigin(lab, (socket) => void socket.pipe(socket));
  await lab.proxy.applyTrustBundle(lab.bundle());
  await lab.apply({ inbound: [inboundTo(port, 'enforce', { protocol: Protocol.TCP })] });
  const credential = lab.authority.issue({ uris: [STOREFRONT] });
  const socket = connectTls({ host: '127.0.0.1', port: lab.portOf(0), rejectUnauthorized: false, ...clientOptions(credential) });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  socket.write('ping');
  assert.equal(String((await once(socket, 'data'))[0]), 'ping');
  const closed = once(socket, 'close');
  lab.revoke({ credentials: [credential] });
  await closed;
});

test('raw TCP in the clear is cut when the drain time after the rise is over', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  const { port } = await tcpOrigin(lab, (socket) => void socket.pipe(socket));
  await lab.apply({ inbound: [inboundTo(port, 'permissive', { protocol: Protocol.TCP })] });
  const socket = connect(lab.portOf(0), '127.0.0.1', () => socket.write('ping'));
  socket.on('error', () => {});
  await once(socket, 'data');
  const closed = once(socket, 'close');
  await lab.apply({ inbound: [inboundTo(port, 'enforce', { protocol: Protocol.TCP, drainMs: 50 })] });
  await closed;
});

test('in permissive a revoked caller is not cut, and its calls count as would-be refusals', async () => {
  const { lab, port } = await openLab('permissive');
  await using _ = lab;
  const caller = await callerAs(lab, port, STOREFRONT);
  await caller.call();
  lab.proxy.takeReport();
  lab.revoke({ suspended: [STOREFRONT] });
  assert.match(await caller.call(), /^HTTP\/1\.1 200 /);
  assert.deepEqual(
    lab.proxy.takeReport().counts!.map(({ outcome, reason }) => [outcome, reason]),
    [[Outcome.WOULD_REFUSE, 'suspended']],
  );
});

test('an authority that leaves the bundle takes its callers along within the drain time', async () => {
  const { lab, port } = await openLab('enforce');
  await using _ = lab;
  const other = new ProxyLab();
  await using __ = other;
  await lab.proxy.applyTrustBundle(lab.bundle(lab.authority, other.authority));
  const foreign = await callerAs(other, port, STOREFRONT);
  const own = await callerAs(lab, port, STOREFRONT);
  assert.match(await foreign.call(), /^HTTP\/1\.1 200 /);
  await own.call();
  await lab.proxy.applyTrustBundle(lab.bundle(lab.authority));
  await once(foreign.socket, 'close');
  assert.match(await own.call(), /^HTTP\/1\.1 200 /);
});

test('settings that cannot be put in force change nothing', async () => {
  const { lab, origin, port } = await openLab('permissive');
  await using _ = lab;
  const caller = await callerInClear(port);
  await caller.call();
  const taken = await lab.origin();
  for (const bad of [
    { inbound: [inboundTo(origin.port, 'enforce'), inboundTo(origin.port, 'enforce', { listen: loopback(taken.port) })] },
    { inbound: [inboundTo(origin.port, 'enforce', { anonymousMode: Mode.UNSPECIFIED })] },
    { inbound: [inboundTo(origin.port, 'enforce', { tls: { groups: ['no-such-group'] } as never })] },
    { inbound: [inboundTo(origin.port, 'observe', { tls: { groups: ['no-such-group'] } as never })] },
    { inbound: [inboundTo(origin.port, 'enforce')], spiffeId: STRANGER },
  ]) {
    const answer = await lab.apply(bad);
    assert.equal(answer.kind, 'refused', JSON.stringify(answer));
  }
  assert.doesNotMatch(await caller.call(), /connection: close/i);
  assert.equal(lab.proxy.takeReport().generation, 1n);
});

test('enforce is not acknowledged with a certificate that cannot serve', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  const origin = await lab.origin();
  const other = new ProxyLab();
  await using __ = other;
  await lab.proxy.applyTrustBundle(lab.bundle(other.authority));
  const answer = await lab.apply({ inbound: [inboundTo(origin.port, 'enforce')] });
  assert.match(answer.kind === 'refused' ? answer.reason : '', /unknown-authority/);
  assert.deepEqual(await lab.apply({ inbound: [inboundTo(origin.port, 'observe')] }), { kind: 'accepted' });
});

/** Looks once a turn of the event loop; the test's own limit ends it. */
async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setImmediate(resolve));
}
