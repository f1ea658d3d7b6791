import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newKey } from '../test/support/acme-client.ts';
import { startDnsServer } from '../test/support/dns-server.ts';
import { AcmeLoadClient, type Answers } from './acme-load-client.ts';
import { startControlPlane } from './control-plane.ts';
import { quantile, runLoad } from './load.ts';
import type { Axis, Contender, Measurement } from './measurement.ts';
import { freePort } from './program.ts';
import { findStepCa, startStepCa } from './step-ca.ts';

/** Whole ACME flows, each for a name of its own: order, authorization, http-01 over loopback with the name asked of a DNS server, finalize, certificate. */
export const acmeAxis: Axis = {
  name: 'acme',
  meaning: 'whole ACME flows (http-01 on loopback) of 32 accounts: flows/s, server CPU a flow; one account alone',
  contenders: async () => [countersign, stepCa],
};

type Surroundings = { readonly folder: string; readonly httpPort: number; readonly dnsServer: string };
type AcmeServer = { readonly pid: number; readonly origin: string; readonly directoryPath: string; stop(): Promise<void> };

const countersign: Contender = contender('countersign', null, async ({ folder, httpPort, dnsServer }) => {
  const port = await freePort();
  const more = [
    `  acme: 127.0.0.1:${port}`,
    'acme:',
    `  limits: {accountsPerAddress: "1000/1h", ordersPerAccount: "100000/1h"}`,
    `  validation: {allow: ["127.0.0.0/8:${httpPort}"], httpPort: ${httpPort}, dnsServers: ["${dnsServer}"]}`,
    '',
  ];
  const server = await startControlPlane(folder, { more: more.join('\n') });
  return { pid: server.pid, origin: `https://127.0.0.1:${port}`, directoryPath: '/acme/directory', stop: server.stop };
});

const program = findStepCa();
const stepCa: Contender = contender('step-ca', program === null ? 'not installed (npm run peers -- bench)' : null, async (around) => {
  const server = await startStepCa(program!, around.folder, around);
  return { pid: server.pid, origin: server.url, directoryPath: '/acme/acme/directory', stop: server.stop };
});

function contender(name: string, absent: string | null, start: (around: Surroundings) => Promise<AcmeServer>): Contender {
  return {
    name,
    absent: () => absent,
    measure: async () => {
      await using stack = new AsyncDisposableStack();
      const folder = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
      stack.defer(() => rm(folder, { recursive: true, force: true }));
      const dns = stack.use(await startDnsServer());
      const answers: Answers = new Map();
      const web = await startWeb(answers);
      stack.defer(() => void (web.closeAllConnections(), web.close()));
      const httpPort = (web.address() as AddressInfo).port;
      const server = await start({ folder, httpPort, dnsServer: dns.address });
      stack.defer(() => server.stop());
      const clients = Array.from({ length: CLIENTS }, () =>
        stack.adopt(new AcmeLoadClient(server.origin, answers), (client) => client.close()),
      );
      for (const client of clients) await client.register(server.directoryPath);
      // Awaited here: what it works with is ended when this returns.
      return await measureServer(server, clients, (host) => dns.records.set(host, [{ type: 'A', address: '127.0.0.1' }]));
    },
  };
}

async function measureServer(
  server: AcmeServer,
  clients: readonly AcmeLoadClient[],
  announce: (name: string) => void,
): Promise<Omit<Measurement, 'contender'>[]> {
  const run = (count: number, used: number) => {
    const orders = Array.from({ length: count }, () => ({ name: `flow-${made++}.bench.example`, key: newKey() }));
    for (const { name } of orders) announce(name);
    return runLoad(server.pid, { count, clients: used }, async (index, client) => {
      const { name, key } = orders[index]!;
      await clients[client]!.obtain(name, key);
    });
  };
  // What runs for the first time is compiled: that is measured by the axis startup. Threads of V8, whose time counts, do so for some 1,500 flows.
  await run(WARM_UP, CLIENTS);
  const sent = (): number => clients.reduce((sum, client) => sum + client.sent, 0);
  const before = sent();
  const many = await run(MANY, CLIENTS);
  const requests = sent() - before;
  const alone = await run(ALONE, 1);
  return [
    { metric: 'flows_per_s', unit: '1/s', value: (MANY * 1_000) / many.wallMs },
    { metric: 'cpu_us_per_flow', unit: 'us', value: (many.serverCpuMs * 1_000) / MANY },
    { metric: 'requests_per_flow', unit: '1', value: requests / MANY },
    { metric: 'p99_ms', unit: 'ms', value: quantile(many.waitsMs, 0.99) },
    { metric: 'p50_ms', unit: 'ms', value: quantile(alone.waitsMs, 0.5) },
  ];
}

async function startWeb(answers: Answers): Promise<Server> {
  const server = createServer((request, response) => {
    const found = answers.get((request.url ?? '').slice('/.well-known/acme-challenge/'.length));
    response.writeHead(found === undefined ? 404 : 200).end(found);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

let made = 0;
const CLIENTS = 32;
const WARM_UP = 1_600;
const MANY = 800;
const ALONE = 50;
