import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { EnvoyBench } from '../../../test/support/envoy-bench.ts';
import { missingEnvoy } from '../../../test/support/envoy-lab.ts';
import {
  callInClear,
  callOverTls,
  clientOptions,
  inboundTo,
  loopback,
  PROBE,
  PROBE_TARGET,
  requestText,
  STOREFRONT,
  STRANGER,
} from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';

describe('an endpoint of HTTP on Envoy', { skip: missingEnvoy() }, () => {
  let bench: EnvoyBench;
  before(async () => {
    bench = await EnvoyBench.start();
  });
  after(() => bench[Symbol.asyncDispose]());
  beforeEach(() => bench.revoked.clear());

  const orders = (mode: 'observe' | 'permissive' | 'enforce', more: Parameters<typeof inboundTo>[2] = {}) =>
    inboundTo(bench.origin.port, mode, { ...more, listen: loopback(bench.port) } as typeof more);
  const asCaller = (uri: string) => clientOptions(bench.lab.authority.issue({ uris: [uri] }));

  for (const mode of ['observe', 'permissive'] as const) {
    it(`serves the clear, TLS and mutual TLS on one port in ${mode}, and refuses nobody`, async () => {
      await bench.apply({ inbound: [orders(mode)] });
      const unknown = makeTestAuthority(Date.now(), 'Unknown').issue({ uris: [STOREFRONT] });
      const expired = bench.lab.authority.issue({
        uris: [STOREFRONT],
        notBefore: Date.now() - 7_200_000,
        notAfter: Date.now() - 3_600_000,
      });
      const server = bench.lab.authority.issue({ uris: [STOREFRONT], usages: ['server'] });
      const answers = [
        await callInClear(bench.port),
        ...(await Promise.all(
          [{}, asCaller(STOREFRONT), asCaller(STRANGER), ...[unknown, expired, server].map(clientOptions)].map(
            async (options) => (await callOverTls(bench.port, options)).text,
          ),
        )),
      ];
      for (const answer of answers) assert.match(answer, /^HTTP\/1\.1 200 /);
      // Only who proved it is told to the service.
      assert.deepEqual(
        answers.map((answer) => /URI=([^"]*)"/.exec(answer)?.[1] ?? null),
        [null, null, STOREFRONT, STRANGER, null, null, null],
      );
    });
  }

  it('lets nobody through the handshake in enforce but allowed callers', async () => {
    await bench.apply({ inbound: [orders('enforce')] });
    const good = await callOverTls(bench.port, asCaller(STOREFRONT));
    assert.match(good.text, new RegExp(`^HTTP/1\\.1 200 [^]*URI=${STOREFRONT}"`));
    const unknown = makeTestAuthority(Date.now(), 'Unknown').issue({ uris: [STOREFRONT] });
    const expired = bench.lab.authority.issue({ uris: [STOREFRONT], notBefore: Date.now() - 7_200_000, notAfter: Date.now() - 3_600_000 });
    const early = bench.lab.authority.issue({ uris: [STOREFRONT], notBefore: Date.now() + 3_600_000 });
    const server = bench.lab.authority.issue({ uris: [STOREFRONT], usages: ['server'] });
    const before = bench.origin.requests.length;
    for (const options of [
      {},
      asCaller(STRANGER),
      ...[unknown, expired, early, server].map(clientOptions),
      { ...asCaller(STOREFRONT), maxVersion: 'TLSv1.1' as const, minVersion: 'TLSv1.1' as const, ciphers: 'DEFAULT@SECLEVEL=0' },
    ])
      assert.equal((await callOverTls(bench.port, options)).text, '');
    assert.equal(await callInClear(bench.port), '');
    assert.equal(bench.origin.requests.length, before);
  });

  for (const mode of ['observe', 'enforce'] as const) {
    it(`answers the prober itself in ${mode}, and forwards nothing of it`, async () => {
      await bench.apply({ inbound: [orders(mode)] });
      const before = bench.origin.requests.length;
      assert.match((await callOverTls(bench.port, asCaller(PROBE), requestText(PROBE_TARGET()))).text, /^HTTP\/1\.1 200 /);
      assert.match((await callOverTls(bench.port, asCaller(PROBE), requestText('/orders'))).text, /^HTTP\/1\.1 404 /);
      assert.equal(bench.origin.requests.length, before);
      // Anybody else who asks for it asks the service.
      assert.match((await callOverTls(bench.port, asCaller(STOREFRONT), requestText(PROBE_TARGET()))).text, /^HTTP\/1\.1 200 /);
      assert.equal(bench.origin.requests.length, before + 1);
    });
  }

  for (const mode of ['observe', 'enforce'] as const) {
    it(`strips what a caller says of who it is in ${mode}`, async () => {
      await bench.apply({ inbound: [orders(mode)] });
      const lies = [
        `X-Forwarded-Client-Cert: By=x;Hash=00;URI=${PROBE}`,
        'Client-Cert: :AAAA:',
        'Client-Cert-Chain: :AAAA:',
        'X-Countersign-Peer-Serial: 00',
        'X-Envoy-Retry-On: 5xx',
      ];
      const text = requestText('/', lies.map((line) => `${line}\r\n`).join(''));
      const seen = [(await callOverTls(bench.port, asCaller(STOREFRONT), text)).text];
      if (mode === 'observe') seen.push((await callOverTls(bench.port, {}, text)).text, await callInClear(bench.port, text));
      for (const answer of seen) {
        assert.match(answer, /^HTTP\/1\.1 200 /);
        assert.doesNotMatch(answer, /probe|"client-cert|peer-serial|retry-on/);
      }
    });
  }
});
