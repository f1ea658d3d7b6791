/**
 * `service.ts CONFIG`: one replica of an Acme Cloud service. An ordinary HTTP server and ordinary HTTP clients that know nothing
 * of certificates: the scheme, host and port of a call are what the configuration's URL says.
 */
import { chmodSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Server as NetServer } from 'node:net';
import { Client } from './client.ts';
import { ObserverStream } from './observer-stream.ts';
import type { ServiceConfig } from './service-config.ts';

/** Far longer than clients keep an idle connection: they close first, however busy the machine is. */
const KEEP_ALIVE_MS = 30_000;
/** Longer than a call may take, so that no call under way is cut off. */
const LONGEST_DRAIN_MS = 20_000;
const LARGEST_BODY_BYTES = 64 * 1024;

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('Cannot start the service: no configuration is named');
const config = JSON.parse(readFileSync(file, 'utf8')) as ServiceConfig;
const record = config.answersWithRecord ? config.record : null;
const observer = new ObserverStream(config.observerUrl);
let isDraining = false;

function answer(request: IncomingMessage, response: ServerResponse): void {
  const id = request.headers['x-call-id'];
  if (typeof id !== 'string') {
    // What load balancers and waiting callers ask.
    response.writeHead(request.url === '/healthz' ? 204 : 400).end();
    return;
  }
  observer.write({
    event: 'received',
    at: Date.now(),
    id,
    endpoint: config.service,
    by: config.name,
    transport: config.listen.kind === 'unix' ? 'unix' : 'tcp',
    identity: headerText(request.headers['x-forwarded-client-cert']),
  });
  let size = 0;
  request.on('data', (part: Buffer) => {
    size += part.length;
    if (size > LARGEST_BODY_BYTES) request.destroy();
  });
  request.on('end', () => {
    const body = JSON.stringify({ id, service: config.service, replica: config.name, record });
    // A keep-alive connection is told, with its next answer, to end: nothing is cut off.
    if (isDraining) response.setHeader('connection', 'close');
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body);
  });
}

function headerText(value: string | string[] | undefined): string | null {
  return value === undefined ? null : String(value);
}

const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, answer);
const clients = config.calls.map((call) => new Client(config, call, observer));

async function listen(): Promise<void> {
  const { listen } = config;
  if (listen.kind === 'none') return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.on('error', reject);
  if (listen.kind === 'inherited') server.listen({ fd: listen.fd }, resolve);
  if (listen.kind === 'tcp') server.listen(listen.port, listen.host, resolve);
  if (listen.kind === 'unix') {
    rmSync(listen.path, { force: true });
    process.umask(0o177);
    server.listen(listen.path, resolve);
  }
  await promise;
  if (listen.kind === 'unix') chmodSync(listen.path, 0o600);
}

/**
 * Stops to accept, lets each open connection end with an answer or by its idle time, finishes its own calls, then leaves. Asked again, it
 * leaves at once: whoever asks knows that nobody calls any more.
 */
async function drain(): Promise<void> {
  if (isDraining) return leave();
  isDraining = true;
  const deadline = setTimeout(() => process.exit(1), LONGEST_DRAIN_MS);
  // `http.Server.close()` would also cut idle keep-alive connections, on which a call may just be on its way.
  const closed = Promise.withResolvers<void>();
  if (server.listening) NetServer.prototype.close.call(server, () => closed.resolve());
  else closed.resolve();
  await Promise.all(clients.map((client) => client.stop()));
  console.log('calls ended');
  await closed.promise;
  clearTimeout(deadline);
  await leave();
}

async function leave(): Promise<void> {
  await observer.end();
  process.exit(0);
}

process.on('SIGTERM', () => void drain());
await listen();
console.log('listening');
await Promise.all(clients.map((client) => client.waitUntilHealthy()));
if (!isDraining) for (const client of clients) client.start();
console.log('ready');
