import assert from 'node:assert/strict';
import { Agent, request as httpRequest } from 'node:http';
import { test, type TestContext } from 'node:test';
import { Origination } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import {
  callOverTls,
  clientOptions,
  identityOf,
  inboundTo,
  loopback,
  ORDERS,
  outboundTo,
  ProxyLab,
  STOREFRONT,
} from '../../../test/support/proxy-lab.ts';

/** Calls at a steady rate over keep-alive connections, without any retry, and counts what did not come back right. */
class Load implements AsyncDisposable {
  readonly #agent = new Agent({ keepAlive: true });
  readonly #port: number;
  readonly #timer: NodeJS.Timeout;
  readonly failures: string[] = [];
  #open = new Set<Promise<void>>();
  answered = 0;

  constructor(port: number) {
    this.#port = port;
    this.#timer = setInterval(() => {
      const call = this.#call().finally(() => this.#open.delete(call));
      this.#open.add(call);
    }, 4);
  }

  /** Resolves when so many more calls were answered. */
  async answers(more: number): Promise<void> {
    const target = this.answered + more;
    while (this.answered < target && this.failures.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#open);
    this.#agent.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #call(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const fail = (why: string): void => {
      this.failures.push(why);
      resolve();
    };
    const request = httpRequest(
      { host: '127.0.0.1', port: this.#port, method: 'POST', path: '/v1/orders', agent: this.#agent },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('error', (error) => fail(error.message));
        response.on('end', () => {
          if (response.statusCode !== 200 || text !== 'ok') fail(`${response.statusCode} ${response.headers['countersign-failure'] ?? ''}`);
          else this.answered += 1;
          resolve();
        });
      },
    );
    request.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    request.end('order');
    return promise;
  }
}

type Pair = {
  readonly receivers: readonly ProxyLab[];
  readonly caller: ProxyLab;
  readonly originPort: number;
  readonly ports: readonly number[];
};

/** A storefront with its proxy, and two replicas of orders with theirs; closed when the test ends, also by a failed assertion. */
async function openPair(t: TestContext, mode: 'permissive' | 'enforce', origination: Origination): Promise<Pair> {
  const first = new ProxyLab(ORDERS);
  const receivers = [first, new ProxyLab(ORDERS, first.authority)];
  for (const lab of receivers) t.after(() => lab[Symbol.asyncDispose]());
  const origin = await first.origin((request, response) => void request.resume().on('end', () => response.end('ok')));
  for (const lab of receivers) {
    await lab.proxy.applyTrustBundle(lab.bundle());
    await lab.apply({ inbound: [inboundTo(origin.port, mode)] });
  }
  const ports = receivers.map((lab) => lab.portOf(0));
  const caller = new ProxyLab(STOREFRONT, first.authority);
  t.after(() => caller[Symbol.asyncDispose]());
  await caller.proxy.applyTrustBundle(caller.bundle());
  await caller.apply({ spiffeId: STOREFRONT, outbound: [outboundTo(ports, origination)] });
  return { receivers, caller, originPort: origin.port, ports };
}

test('no call fails while every certificate is rotated ten times', async (t) => {
  const pair = await openPair(t, 'enforce', Origination.MTLS);
  await using load = new Load(pair.caller.portOf(0));
  const [receiver] = pair.receivers;
  for (let round = 0; round < 10; round++) {
    await load.answers(20);
    for (const [lab, spiffeId] of [[pair.caller, STOREFRONT], ...pair.receivers.map((lab) => [lab, ORDERS] as const)] as const) {
      const credential = lab.authority.issue({ uris: [spiffeId] });
      await lab.proxy.applyIdentity(identityOf(spiffeId, credential, lab.authority));
      if (lab === receiver)
        assert.deepEqual(
          lab.proxy.takeReport().served!.map(({ serial }) => serial),
          [credential.certificate.serial],
          'served, not only issued',
        );
    }
  }
  await load.answers(20);
  await load.stop();
  assert.deepEqual(load.failures, []);
});

test('no call fails on the way from plaintext to enforced mutual TLS and back', async (t) => {
  const pair = await openPair(t, 'permissive', Origination.PLAINTEXT);
  const { caller, receivers, originPort, ports } = pair;
  await using load = new Load(caller.portOf(0));
  const receive = async (mode: 'permissive' | 'enforce'): Promise<void> => {
    for (const lab of receivers) assert.equal((await lab.apply({ inbound: [inboundTo(originPort, mode)] })).kind, 'accepted');
  };
  for (let round = 0; round < 3; round++) {
    await load.answers(50);
    await caller.apply({ spiffeId: STOREFRONT, outbound: [outboundTo(ports, Origination.MTLS)] });
    await load.answers(50);
    await receive('enforce');
    await load.answers(50);
    await receive('permissive');
    await caller.apply({ spiffeId: STOREFRONT, outbound: [outboundTo(ports, Origination.PLAINTEXT)] });
  }
  await load.stop();
  assert.deepEqual(load.failures, []);
});

test('no call fails while the receiving proxies restart one after the other', async (t) => {
  const pair = await openPair(t, 'enforce', Origination.MTLS);
  const { caller, originPort, ports } = pair;
  await using load = new Load(caller.portOf(0));
  const running = [...pair.receivers];
  for (const index of [0, 1]) {
    await load.answers(100);
    await running[index]!.proxy.stop(5_000);
    const again = new ProxyLab(ORDERS, caller.authority);
    t.after(() => again[Symbol.asyncDispose]());
    await again.proxy.applyTrustBundle(again.bundle());
    assert.equal(
      (await again.apply({ inbound: [inboundTo(originPort, 'enforce', { listen: loopback(ports[index]!) })] })).kind,
      'accepted',
    );
    running[index] = again;
  }
  await load.answers(100);
  await load.stop();
  assert.deepEqual(load.failures, []);
});

test('sessions resume across a rotation of the server’s certificate', async (t) => {
  const { receivers, ports } = await openPair(t, 'enforce', Origination.MTLS);
  const [lab] = receivers;
  const client = clientOptions(lab!.authority.issue({ uris: [STOREFRONT] }));
  const { session } = await callOverTls(ports[0]!, client);
  await lab!.proxy.applyIdentity(identityOf(ORDERS, lab!.authority.issue({ uris: [ORDERS] }), lab!.authority));
  const resumed = await callOverTls(ports[0]!, { ...client, session: session! });
  assert.equal(resumed.resumed, true);
  assert.match(resumed.text, /^HTTP\/1\.1 200 /);
});

test('sessions do not resume across a change of the trust bundle', async (t) => {
  const { receivers, ports } = await openPair(t, 'enforce', Origination.MTLS);
  const [lab] = receivers;
  const client = clientOptions(lab!.authority.issue({ uris: [STOREFRONT] }));
  const { session } = await callOverTls(ports[0]!, client);
  const other = new ProxyLab();
  t.after(() => other[Symbol.asyncDispose]());
  await lab!.proxy.applyTrustBundle(lab!.bundle(lab!.authority, other.authority));
  const again = await callOverTls(ports[0]!, { ...client, session: session! });
  assert.equal(again.resumed, false);
  assert.match(again.text, /^HTTP\/1\.1 200 /);
});
