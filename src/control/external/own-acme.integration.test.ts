import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { type AcmeLab, type LabOptions, openAcmeLab } from '../../../test/support/acme-lab.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type ExternalLab, openExternalLab } from '../../../test/support/external-lab.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { HOUR_MS, MINUTE_MS } from '../../core/time/instant.ts';
import { encodePem } from '../../core/x509/pem.ts';
import type { ExternalOrder } from './external-order.ts';
import { findForeignCertificate } from './foreign-certificate-store.ts';
import { LEASE_MS } from './held-order.ts';
import { OrderDriver } from './order-driver.ts';

type Scene = AsyncDisposable & {
  readonly lab: ExternalLab;
  readonly other: AcmeLab;
  readonly authority: Awaited<ReturnType<ExternalLab['declare']>>;
};

/** Ours, and the other CA: a Countersign of its own. */
async function open(newUrl: () => Promise<string>, acme: LabOptions['acme'] = {}): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const lab = stack.use(await openExternalLab(await newUrl()));
  const validation = { allow: [`127.0.0.0/8:${lab.httpPort}`], httpPort: lab.httpPort };
  const other = stack.use(await openAcmeLab(await newUrl(), { acme: { ...acme, validation } }));
  const rootsPem = readFileSync(other.rootFile, 'utf8');
  const authority = await lab.declare(
    {
      directoryUrl: other.directoryUrl,
      anchorsPem: rootsPem,
      rootsPem,
      allowedNames: ['www.localhost', 'api.localhost', ...[2, 4, 6, 8].map((step) => `s${step}.localhost`)],
    },
    { name: 'other' },
  );
  const running = stack.move();
  return { lab, other, authority, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

/** Every order that the other CA has, by its status. */
async function ordersAt({ ca }: AcmeLab): Promise<readonly string[]> {
  const tables = ca.database.queries.withTables<{ acme_orders: { status: string } }>();
  return (await tables.selectFrom('acme_orders').select('status').execute()).map(({ status }) => status);
}

async function driveToTheEnd(lab: ExternalLab, asked: ExternalOrder): Promise<ExternalOrder> {
  let order = await lab.drive(asked);
  for (let tries = 0; order.status !== 'issued' && order.status !== 'failed' && tries < 20; tries++) {
    lab.advance(order.dueAt - lab.clock.now());
    order = await lab.drive(order);
  }
  return order;
}

forEachDatabase('another CA, a Countersign', (newUrl) => {
  test('our own ACME server is asked as any other, and difficult as it may be', async () => {
    await using scene = await open(newUrl, { chaos: true });
    const { lab, authority } = scene;
    const order = await driveToTheEnd(lab, await lab.request(authority, ['www.localhost']));
    assert.equal(order.status, 'issued', order.detail ?? '');
    const held = (await findForeignCertificate(lab.ca.database.queries, order.certificate!))!;
    assert.equal(held.authorityId, authority.id);
    assert.equal(lab.ca.entriesOf('external-order.issued').length, 1);
  });

  test('a rate limit defers the order by what the CA says, and not by our own patience', async () => {
    const each = { burst: 1, periodMs: HOUR_MS };
    await using scene = await open(newUrl, { limits: { accountsPerAddress: each, ordersPerAccount: each, ordersPerName: each } });
    const { lab, other, authority } = scene;
    assert.equal((await lab.drive(await lab.request(authority, ['www.localhost']))).status, 'issued');
    const limited = await lab.drive(await lab.request(authority, ['api.localhost']));
    assert.equal(limited.status, 'placing');
    assert.match(limited.detail ?? '', /^rateLimited: /);
    const pause = limited.dueAt - lab.clock.now();
    assert.ok(pause > 50 * MINUTE_MS && pause <= HOUR_MS, `${pause} ms`);
    assert.equal((await ordersAt(other)).length, 1);
    lab.advance(pause);
    other.clock.advance(HOUR_MS);
    assert.equal((await lab.drive(limited)).status, 'issued');
  });

  test('a CA that is busy says until when, in seconds or as a date; what it says too large is cut to a day', async () => {
    await using lab = await openExternalLab(await newUrl());
    const transport = makeTestAuthority(Date.now(), 'Busy');
    const { key, chain } = transport.issue({ ips: ['127.0.0.1'], usages: ['server'] });
    const cert = chain.map((der) => encodePem('CERTIFICATE', der)).join('');
    let retryAfter = '';
    const server = createServer({ key: key.export({ type: 'pkcs8', format: 'pem' }), cert }, (_, response) =>
      response.writeHead(503, { 'retry-after': retryAfter }).end(),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      const rootsPem = encodePem('CERTIFICATE', transport.root.der);
      const directoryUrl = `https://127.0.0.1:${(server.address() as AddressInfo).port}/directory`;
      const authority = await lab.declare({ directoryUrl, anchorsPem: rootsPem, rootsPem });
      let order = await lab.request(authority, ['www.acme.test']);
      const pauses: [string, number, number][] = [
        ['1800', 29 * MINUTE_MS, 30 * MINUTE_MS],
        [new Date(lab.clock.now() + 3 * HOUR_MS).toUTCString(), 2 * HOUR_MS, 3 * HOUR_MS],
        ['999999999', 23 * HOUR_MS, 24 * HOUR_MS],
        ['soon', 0, 5 * MINUTE_MS],
      ];
      for (const [said, least, most] of pauses) {
        retryAfter = said;
        order = await lab.drive(order);
        assert.equal(order.detail, 'unknown: HTTP status 503');
        const pause = order.dueAt - lab.clock.now();
        assert.ok(pause > least && pause <= most, `${said}: ${pause} ms`);
        lab.advance(pause);
      }
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test('two drivers take one order once, and one certificate comes of it', async () => {
    await using scene = await open(newUrl);
    const { lab, other, authority } = scene;
    const order = await lab.request(authority, ['www.localhost']);
    const drivers = [new OrderDriver(lab.deps), new OrderDriver(lab.deps)];
    const taken = await Promise.all(drivers.map((driver) => driver.run()));
    await Promise.all(drivers.map((driver) => driver.settled()));
    assert.equal(taken[0]! + taken[1]!, 1);
    assert.equal((await lab.find(order.id)).status, 'issued');
    assert.deepEqual(await ordersAt(other), ['valid']);
  });

  test('a driver that lost its order to another at any step changes nothing more, there or here', async () => {
    await using scene = await open(newUrl);
    const { lab, other, authority } = scene;
    // Later clocks see the first driver's time as over: it is taken over while it still works.
    const later = { ...lab.deps, clock: { now: () => lab.clock.now() + LEASE_MS + MINUTE_MS } };
    for (const step of [2, 4, 6, 8]) {
      // A name of its own, so that each is proved anew.
      const order = await lab.request(authority, [`s${step}.localhost`]);
      await using second = new OrderDriver(later);
      let connections = 0;
      const runs: Promise<unknown>[] = [];
      const permits = (ip: string, port: number): boolean => {
        connections += 1;
        if (connections === step) runs.push(second.run());
        return lab.deps.policy.permits(ip, port);
      };
      await using first = new OrderDriver({ ...lab.deps, policy: { permits } });
      await first.run();
      await first.settled();
      await Promise.all(runs);
      await second.settled();
      assert.ok(runs.length === 1, `${connections} connections`);
      const ended = await lab.find(order.id);
      assert.equal(ended.status, 'issued', `step ${step}: ${ended.detail}`);
      const issued = lab.ca.entriesOf('external-order.issued').filter(({ data }) => data['order'] === order.id);
      assert.equal(issued.length, 1, `step ${step}`);
      lab.advance(3 * LEASE_MS);
    }
    const valid = (await ordersAt(other)).filter((status) => status === 'valid');
    assert.equal(valid.length, 4, 'no certificate was given twice');
    assert.deepEqual(lab.logged, []);
  });
});
