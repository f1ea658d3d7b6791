import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { EnvoyBench } from '../../../test/support/envoy-bench.ts';
import { missingEnvoy } from '../../../test/support/envoy-lab.ts';
import { type CallAsked, OpenConnection } from '../../../test/support/open-call.ts';
import {
  callInClear,
  callOverTls,
  clientOptions,
  inboundTo,
  loopback,
  modes,
  STOREFRONT,
  STRANGER,
} from '../../../test/support/proxy-lab.ts';

describe('rules of calls on Envoy', { skip: missingEnvoy() }, () => {
  let bench: EnvoyBench;
  before(async () => {
    bench = await EnvoyBench.start();
  });
  after(() => bench[Symbol.asyncDispose]());

  const orders = (mode: 'observe' | 'enforce', more: Parameters<typeof inboundTo>[2] = {}) => {
    const callers = [STOREFRONT, STRANGER].map((spiffeId) => ({ pathId: 'p', spiffeId, mode: modes[mode] }));
    return inboundTo(bench.origin.port, mode, { callers, ...more, listen: loopback(bench.port) } as typeof more);
  };
  const asCaller = (uri: string) =>
    clientOptions(bench.lab.authority.issue({ uris: [uri], dnsNames: uri === STOREFRONT ? ['shop.example'] : [] }));
  const ask = async (uri: string, asked: CallAsked): Promise<number> => {
    using open = (await OpenConnection.overTls(bench.port, asCaller(uri)))!;
    return (await open.call(asked)).status;
  };

  const routes = [
    { methods: ['GET'], path: '/v1/orders/*', callerSpiffeIds: [STOREFRONT] },
    { methods: ['POST'], path: '/v1/orders', callerSpiffeIds: [STRANGER] },
    { path: '/admin/**', callerSans: ['dns:shop.example'] },
    { host: 'public.example', path: '/**', callerSpiffeIds: [STRANGER, STOREFRONT] },
  ] as never;

  it('lets a caller make the calls that the first matching route gives it, and no other, on one connection', async () => {
    await bench.apply({ inbound: [orders('enforce', { routes })] });
    using open = (await OpenConnection.overTls(bench.port, asCaller(STOREFRONT)))!;
    const statuses = async (...asked: readonly CallAsked[]) => {
      const seen: number[] = [];
      for (const one of asked) seen.push((await open.call(one)).status);
      return seen;
    };
    assert.deepEqual(
      await statuses(
        { path: '/v1/orders/7' },
        { path: '/v1/orders/7/' },
        { path: '/v1/orders/7?x=/admin' },
        { path: '/v1/orders/7', method: 'HEAD' },
        { path: '/anything', headers: { host: 'public.example' } },
        { path: '/anything', headers: { host: 'PUBLIC.example:8443' } },
      ),
      [200, 200, 200, 200, 200, 200],
    );
    assert.deepEqual(
      await statuses(
        { path: '/v1/orders' },
        { path: '/v1/orders/7', method: 'DELETE' },
        { path: '/v1/orders', method: 'POST' },
        { path: '/' },
        { path: '/v1/orders/7/8' },
      ),
      [403, 403, 403, 403, 403],
    );
    assert.deepEqual(
      [
        await ask(STRANGER, { path: '/v1/orders', method: 'POST' }),
        await ask(STRANGER, { path: '/v1/orders/7' }),
        await ask(STRANGER, { path: '/admin/x' }),
      ],
      [200, 403, 403],
    );
  });

  const spellings = [
    '/v1/../admin/x',
    '/v1/orders/..',
    '/v1/orders/%2e%2e/x',
    '//v1/orders/7',
    '/v1//orders/7',
    '/v1/orders/a%2Fb',
    '/v1/orders/a;b',
    '/v1/orders/a\\b',
    '/v1/orders/%5Cx',
    '/v1/orders/%3Bx',
    '/v1/orders/%2561',
    '/%76%31/orders/7',
    '/V1/orders/7',
    '/v1/ORDERS/7',
    '/ADMIN/x',
    '/Admin',
    '/v1/orders/%C0%AF',
    '/v1/orders/%4',
  ];
  for (const path of spellings) {
    it(`refuses ${path}, that could be read as two paths`, async () => {
      await bench.apply({ inbound: [orders('enforce', { routes })] });
      for (const headers of [{}, { host: 'public.example' }]) {
        const status = await ask(STOREFRONT, { path, headers });
        assert.ok(status === 403 || status === 400, `${status}`);
      }
    });
  }

  it('refuses no call in observe, whatever the routes say', async () => {
    await bench.apply({ inbound: [orders('observe', { routes })] });
    for (const path of ['/v1/orders/7', '/', '/admin/x', '/V1/orders/7']) assert.equal(await ask(STRANGER, { path }), 200, path);
  });

  it('takes a caller’s route away from its open connection', async () => {
    await bench.apply({ inbound: [orders('enforce', { routes })] });
    using open = (await OpenConnection.overTls(bench.port, asCaller(STOREFRONT)))!;
    assert.equal((await open.call({ path: '/v1/orders/7' })).status, 200);
    await bench.apply({ inbound: [orders('enforce', { routes: [{ path: '/v1/**', callerSpiffeIds: [STRANGER] }] as never })] });
    assert.equal((await open.call({ path: '/v1/orders/7' })).status, 403);
  });

  it('answers 421 to a call for another host than the server name of its connection, and to none without one', async () => {
    await bench.apply({ inbound: [orders('enforce', { hostMatchesSni: true })] });
    const asked = async (servername: string | null, host: string): Promise<number> => {
      const options = { ...asCaller(STOREFRONT), ...(servername === null ? {} : { servername }) };
      using open = (await OpenConnection.overTls(bench.port, options))!;
      return (await open.call({ headers: { host } })).status;
    };
    assert.deepEqual(
      [await asked('a.example', 'a.example'), await asked('a.example', 'a.example:8443'), await asked(null, 'b.example')],
      [200, 200, 200],
    );
    assert.deepEqual(
      [await asked('a.example', 'b.example'), await asked('a.example', 'a.example.evil'), await asked('a.example', 'aa.example')],
      [421, 421, 421],
    );
  });

  it('promises TLS in answers on TLS alone, and in the place of what the service says', async () => {
    const answerFields = [{ name: 'strict-transport-security', value: 'max-age=63072000' }] as never;
    await bench.apply({ inbound: [orders('observe', { answerFields })] });
    const secure = await callOverTls(bench.port, asCaller(STOREFRONT));
    const anonymous = await callOverTls(bench.port, {});
    assert.deepEqual(
      [secure, anonymous].map(({ text }) => text.match(/strict-transport-security: max-age=63072000/g)?.length),
      [1, 1],
    );
    assert.doesNotMatch(await callInClear(bench.port), /strict-transport-security/i);
  });

  it('answers 413 to a longer body than the policy allows, and 429 to more calls than the endpoint takes', async () => {
    await bench.apply({ inbound: [orders('enforce', { maximumBodyOctets: 1_000n })] });
    assert.deepEqual(
      [
        await ask(STOREFRONT, { method: 'POST', body: 'x'.repeat(1_000) }),
        await ask(STOREFRONT, { method: 'POST', body: 'x'.repeat(1_001) }),
      ],
      [200, 413],
    );
    await bench.apply({ inbound: [orders('enforce', { endpointRate: { perSecond: 1, burst: 2 } as never })] });
    using open = (await OpenConnection.overTls(bench.port, asCaller(STOREFRONT)))!;
    const seen = [await open.call(), await open.call(), await open.call()];
    assert.deepEqual(
      seen.map(({ status }) => status),
      [200, 200, 429],
    );
  });
});
