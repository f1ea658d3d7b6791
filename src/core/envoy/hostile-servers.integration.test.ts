import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import { describe, it } from 'node:test';
import { EnvoyBench } from '../../../test/support/envoy-bench.ts';
import { missingEnvoy } from '../../../test/support/envoy-lab.ts';
import { callInClear, chainPemOf, keyPemOf, loopback, ORDERS, outboundTo, STRANGER } from '../../../test/support/proxy-lab.ts';
import { Origination } from '../messages/generated/countersign/v1/settings_pb.ts';

describe('servers that Envoy has open connections to', { skip: missingEnvoy() }, () => {
  for (const kind of ['revoked', 'of another name than is expected', 'suspended'] as const) {
    it(`are called no more once they are ${kind}`, async () => {
      await using bench = await EnvoyBench.start();
      const credential = bench.lab.authority.issue({ uris: [ORDERS] });
      const tls = { cert: chainPemOf(credential), key: keyPemOf(credential), requestCert: true, rejectUnauthorized: false };
      let calls = 0;
      const server = createServer({ ...tls, keepAliveTimeout: 60_000 }, (_request, response) => {
        calls += 1;
        response.end('ok');
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      bench.lab.onClose(() => {
        server.close();
        server.closeAllConnections();
      });
      const { port } = server.address() as { port: number };
      const way = (serverSpiffeId: typeof ORDERS) => ({
        outbound: [outboundTo([port], Origination.MTLS, { listen: loopback(bench.port), serverSpiffeId })],
      });
      await bench.apply(way(ORDERS));
      assert.match(await callInClear(bench.port), /^HTTP\/1\.1 200 /);
      if (kind === 'revoked') bench.revoked.credentials.push(credential);
      if (kind === 'suspended') bench.revoked.suspended.push(ORDERS);
      await bench.apply(way(kind === 'revoked' || kind === 'suspended' ? ORDERS : STRANGER));
      assert.match(await callInClear(bench.port), /^HTTP\/1\.1 503 /);
      assert.equal(calls, 1);
    });
  }
});
