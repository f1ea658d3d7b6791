/**
 * `main.ts CONFIG`: forwards bytes between callers and endpoints, reads what is readable, changes nothing. On SIGHUP it reads its configuration
 * anew: new connections go by the new targets.
 */
import { createWriteStream, readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { StreamSearch } from './stream-search.ts';
import type { TapConfig, TapRecord } from './tap-record.ts';

const HOST = '127.0.0.1';
const FLUSH_EVERY_MS = 200;

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('Cannot start the tap: no configuration is named');
const config = readConfig(file);
const routes = new Map(config.routes.map((route) => [route.listenPort, route]));
const output = createWriteStream(config.file, { flags: 'a', mode: 0o600 });
let pending = '';

function record(entry: TapRecord): void {
  pending += `${JSON.stringify(entry)}\n`;
}

function flush(): void {
  if (pending !== '') output.write(pending);
  pending = '';
}

function forward(from: Socket, to: Socket, read: (chunk: Buffer) => void): void {
  from.on('data', (chunk: Buffer) => {
    read(chunk);
    if (!to.write(chunk)) from.pause();
  });
  to.on('drain', () => from.resume());
  from.on('end', () => to.end());
  from.on('error', () => to.destroy());
  from.on('close', () => to.destroySoon());
}

/** Searches one direction of one connection and records what it finds. */
function readerOf({ endpoint, replica }: TapConfig['routes'][number]): (chunk: Buffer) => void {
  const search = new StreamSearch(config.marker);
  return (chunk) => {
    const at = Date.now();
    const { markers, callIds } = search.search(chunk);
    if (markers > 0) record({ kind: 'marker', at, endpoint, replica, count: markers });
    if (callIds.length > 0) record({ kind: 'readable', at, endpoint, replica, callIds });
  };
}

async function openRoute({ listenPort, endpoint, replica }: TapConfig['routes'][number]): Promise<void> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (caller) => {
    const route = routes.get(listenPort)!;
    const service = connect({ host: HOST, port: route.targetPort, allowHalfOpen: true, noDelay: true });
    if (route.tellsSource) service.write(proxyHeaderOf(caller, listenPort));
    let isFirst = true;
    const readCaller = readerOf(route);
    forward(caller, service, (chunk) => {
      if (isFirst)
        record({ kind: 'connection', at: Date.now(), endpoint, replica, began: chunk[0] === TLS_HANDSHAKE ? 'tls' : 'plaintext' });
      isFirst = false;
      readCaller(chunk);
    });
    forward(service, caller, readerOf(route));
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.on('error', reject);
  server.listen(listenPort, HOST, 1024, resolve);
  await promise;
}

function proxyHeaderOf({ remoteAddress = HOST, remotePort = 0 }: Socket, listenPort: number): string {
  return `PROXY TCP4 ${remoteAddress} ${HOST} ${remotePort} ${listenPort}\r\n`;
}

function readConfig(from: string): TapConfig {
  return JSON.parse(readFileSync(from, 'utf8')) as TapConfig;
}

const TLS_HANDSHAKE = 0x16;

process.on('SIGTERM', () => {
  flush();
  output.end(() => process.exit(0));
});
let times = 0;
process.on('SIGHUP', () => {
  for (const route of readConfig(file).routes) routes.set(route.listenPort, route);
  times += 1;
  console.log(`routed ${times}.`);
});
setInterval(flush, FLUSH_EVERY_MS);
for (const route of config.routes) await openRoute(route);
console.log('ready');
