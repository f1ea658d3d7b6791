import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import pg from 'pg';
import { Origination, Protocol } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { ManualClock } from '../../platform/clock/clock.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { calls, listening, named, openService } from '../../../test/support/sdk-lab.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { findPostgres, startCluster, UNPRIVILEGED } from '../../../test/support/postgres-cluster.ts';
import { startTestControlPlane, type TestControlPlane } from '../../../test/support/test-control-plane.ts';

const postgres = await findPostgres();
const skip = postgres === null && process.env['CI'] !== 'true' ? 'no PostgreSQL here' : false;

/** A real PostgreSQL that takes nobody without a client certificate of this control plane's authority, and itself proves `ledger`. */
async function startLedger(control: TestControlPlane) {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-pg-tls-'));
  const { chain, key } = control.authority.issue({ uris: [named('ledger')] });
  const file = (name: string, content: string): string => {
    const path = join(folder, name);
    writeFileSync(path, content, { mode: 0o600 });
    if (process.getuid?.() === 0) chownSync(path, UNPRIVILEGED, UNPRIVILEGED);
    return path;
  };
  if (process.getuid?.() === 0) chownSync(folder, UNPRIVILEGED, UNPRIVILEGED);
  const cluster = await startCluster(postgres!, undefined, [
    'ssl=on',
    `ssl_cert_file=${file('chain.pem', chain.map((der) => encodePem('CERTIFICATE', der)).join(''))}`,
    `ssl_key_file=${file('key.pem', key.export({ type: 'pkcs8', format: 'pem' }) as string)}`,
    `ssl_ca_file=${file('root.pem', encodePem('CERTIFICATE', control.authority.root.der))}`,
    // The test's own plaintext goes to the database `postgres` alone.
    `hba_file=${file('hba', 'hostnossl postgres all 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n')}`,
  ]);
  const url = new URL(await cluster.createDatabase('ledger'));
  return { url, port: Number(url.port), [Symbol.asyncDispose]: () => cluster.stop() };
}

const ledgerAt = (port: number, more: Parameters<typeof calls>[2] = {}) => ({
  outbound: [calls('ledger', [port], { protocol: Protocol.TCP, ...more })],
});

test('pg reaches a PostgreSQL that demands client certificates, and only the one that proves its identity', { skip }, async () => {
  await using control = await startTestControlPlane({ clock: new ManualClock(Date.now()) });
  await using ledger = await startLedger(control);
  await using orders = await openService(control, 'orders', ledgerAt(ledger.port));
  const pool = new pg.Pool({ ...orders.countersign.pgOptions('ledger'), user: 'countersign', database: 'ledger' });
  const answer = await pool.query('select ssl, client_serial::text as serial from pg_stat_ssl where pid = pg_backend_pid()');
  assert.equal(answer.rows[0].ssl, true);
  const before = answer.rows[0].serial as string;
  const large = await pool.query("select repeat('x', 300000) as text");
  assert.equal(large.rows[0].text.length, 300_000);
  await orders.countersign.renew();
  await pool.end();
  const again = new pg.Pool({ ...orders.countersign.pgOptions('ledger'), user: 'countersign', database: 'ledger' });
  const after = await again.query('select client_serial::text as serial from pg_stat_ssl where pid = pg_backend_pid()');
  assert.notEqual(after.rows[0].serial, before, 'a new connection shows the new certificate');
  await again.end();
  await orders.setPorts(ledgerAt(ledger.port, { serverSpiffeId: named('payments') }));
  await assert.rejects(connectOnce(orders.countersign.pgOptions('ledger')), { reason: 'wrong-identity' });
  await assert.rejects(new pg.Client({ connectionString: String(ledger.url) }).connect(), /no pg_hba.conf entry/);
});

test('pg gives a database that speaks no TLS, or more than it was asked, nothing', async () => {
  await using control = await startTestControlPlane({ clock: new ManualClock(Date.now()) });
  for (const answer of ['N', 'SE', 'E']) {
    let octets = 0;
    const server = createServer((socket) =>
      socket
        .on('error', () => {})
        .on('data', (chunk: Buffer) => (octets += chunk.length))
        .once('data', () => socket.write(answer)),
    );
    await using orders = await openService(control, `orders-${answer.toLowerCase()}`, ledgerAt(await listening(server as never)));
    await assert.rejects(connectOnce(orders.countersign.pgOptions('ledger')), { reason: 'tls-version' });
    assert.equal(octets, 8, 'SSLRequest and nothing else');
    server.close();
  }
});

test('at the stage of plaintext a database is spoken to in plaintext, as the rollout says', { skip }, async () => {
  await using control = await startTestControlPlane({ clock: new ManualClock(Date.now()) });
  await using ledger = await startLedger(control);
  await using orders = await openService(control, 'orders', ledgerAt(ledger.port, { origination: Origination.PLAINTEXT }));
  await assert.rejects(connectOnce(orders.countersign.pgOptions('ledger')), /no pg_hba.conf entry/);
  await orders.setPorts(ledgerAt(ledger.port));
  await connectOnce(orders.countersign.pgOptions('ledger'));
});

async function connectOnce(options: object): Promise<void> {
  const client = new pg.Client({ ...options, user: 'countersign', database: 'ledger' });
  client.on('error', () => {});
  await client.connect();
  await client.end();
}

const hasRedis = (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(join(folder, 'redis-server')));
const skipRedis = !hasRedis && process.env['CI'] !== 'true' ? 'no Redis here' : false;

/** A real Redis that speaks nothing but TLS and takes nobody without a client certificate; it proves `cache`. */
async function startCache(control: TestControlPlane) {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-redis-tls-'));
  const { chain, key } = control.authority.issue({ uris: [named('cache')] });
  const file = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  const port = await freePort();
  const options = {
    port: '0',
    'tls-port': String(port),
    bind: '127.0.0.1',
    save: '',
    'tls-cert-file': file('chain.pem', chain.map((der) => encodePem('CERTIFICATE', der)).join('')),
    'tls-key-file': file('key.pem', key.export({ type: 'pkcs8', format: 'pem' }) as string),
    'tls-ca-cert-file': file('root.pem', encodePem('CERTIFICATE', control.authority.root.der)),
    'tls-auth-clients': 'yes',
    dir: folder,
  };
  const server = spawn(
    'redis-server',
    Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]),
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  for await (const line of createInterface({ input: server.stdout })) if (line.includes('Ready to accept connections')) break;
  return {
    port,
    async [Symbol.asyncDispose]() {
      const ended = once(server, 'exit');
      server.kill('SIGKILL');
      await ended;
    },
  };
}

test(
  'ioredis reaches a Redis that demands client certificates, and only the one that proves its identity',
  { skip: skipRedis },
  async () => {
    await using control = await startTestControlPlane({ clock: new ManualClock(Date.now()) });
    await using cache = await startCache(control);
    const cacheAs = (more: Parameters<typeof calls>[2] = {}) => ({
      outbound: [calls('cache', [cache.port], { protocol: Protocol.TCP, ...more })],
    });
    await using orders = await openService(control, 'orders', cacheAs());
    const redis = new Redis({ ...orders.countersign.redisOptions('cache'), maxRetriesPerRequest: 1 });
    await redis.set('item', 'x'.repeat(100_000));
    assert.equal((await redis.get('item'))!.length, 100_000);
    redis.disconnect();
    await orders.setPorts(cacheAs({ serverSpiffeId: named('payments') }));
    const misled = new Redis({ ...orders.countersign.redisOptions('cache'), maxRetriesPerRequest: 0, retryStrategy: () => null });
    const errors: { readonly reason?: string }[] = [];
    misled.on('error', (error: { readonly reason?: string }) => errors.push(error));
    await assert.rejects(misled.get('item'));
    assert.equal(errors[0]!.reason, 'wrong-identity');
    misled.disconnect();
  },
);
