import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connectClient } from '../../cli/client.ts';
import { Secret } from '../../core/secrets/secret.ts';
import { systemClock } from '../../platform/clock/clock.ts';
import { parseServerConfig } from '../../platform/config/server-config.ts';
import { startServer } from '../../server.ts';
import { hasOpenssl } from '../../../test/support/openssl.ts';
import { sClient } from '../../../test/support/s-client.ts';
import { listening } from '../../../test/support/sdk-lab.ts';
import { type Countersign, open } from './countersign-sdk.ts';

const skip = (await hasOpenssl()) ? false : 'openssl is missing';
const folder = mkdtempSync(join(tmpdir(), 'countersign-sdk-staple-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const fleet = `apiVersion: countersign/v1
kind: Profile
name: workload
base: workload
status: ocsp
---
apiVersion: countersign/v1
kind: Service
name: stock
owner: shop
---
apiVersion: countersign/v1
kind: Endpoint
name: stock
service: stock
protocol: http
addresses: ["127.0.0.1:1"]
owner: shop
---
apiVersion: countersign/v1
kind: Proxy
name: stock-1
service: stock
role: sdk
inbound: [{ endpoint: stock }]
`;

async function serve(stock: Countersign): Promise<number> {
  return listening(stock.createServer({ endpoint: 'stock' }, (_request, response) => void response.end('ok')));
}

const GOOD = /OCSP Response Status: successful[^]*Cert Status: good[^]*Verify return code: 0 \(ok\)/;

test(
  'a service whose profile says so staples what the control plane delivers, and after a restart without it what it had',
  { skip },
  async () => {
    const listen = 'listen: {admin: "127.0.0.1:0", dataPlane: "127.0.0.1:0", public: "127.0.0.1:0"}';
    const config = parseServerConfig(
      [
        'dataDirectory: data',
        'keyFile: kek',
        'trustDomain: acme.example',
        'environment: test',
        listen,
        'publicUrl: "http://127.0.0.1:8080"',
      ].join('\n'),
      folder,
    );
    const server = await startServer({ config, clock: systemClock, log: () => {} });
    const rootFile = join(folder, 'data/root.pem');
    const clientOf = (token: string | null) =>
      connectClient({
        server: new URL(`https://127.0.0.1:${server.addresses.admin.port}`),
        rootPem: readFileSync(rootFile, 'utf8'),
        token: token === null ? null : new Secret(token),
      });
    const bootstrap = { token: readFileSync(server.bootstrapFile!, 'utf8').trim(), name: 'ada' };
    const client = clientOf((await clientOf(null).post<{ readonly token: string }>('/v1/bootstrap-exchange', bootstrap)).token);
    await client.post('/v1/declarations', { text: fleet });
    const { token } = await client.post<{ readonly token: string }>('/v1/join-tokens', { proxy: 'stock-1' });

    const staple = Promise.withResolvers<void>();
    const options = { control: `127.0.0.1:${server.addresses.dataPlane.port}`, state: join(folder, 'state') };
    const openStock = (): Promise<Countersign> =>
      open({ ...options, join: { token }, log: (_level: string, event: string) => void (event === 'staple in force' && staple.resolve()) });
    const first = await openStock();
    try {
      await staple.promise;
      const port = await serve(first);
      for (const version of ['-tls1_2', '-tls1_3']) assert.match(await sClient(port, [version, '-status', '-CAfile', rootFile]), GOOD);
    } finally {
      await first.close(0);
      await server[Symbol.asyncDispose]();
    }
    const again = await openStock();
    try {
      const port = await serve(again);
      assert.match(await sClient(port, ['-status', '-CAfile', rootFile]), GOOD);
    } finally {
      await again.close(0);
    }
  },
);
