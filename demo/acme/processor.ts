/**
 * `processor.ts CONFIG`: the third-party payment processor. It belongs to somebody else, speaks TLS under its own CA, and knows
 * nothing of Acme's control plane.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { ObserverStream } from './observer-stream.ts';

type ProcessorConfig = {
  readonly name: string;
  readonly fd: number;
  readonly keyFile: string;
  readonly certificateFile: string;
  readonly observerUrl: string;
};

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('Cannot start the processor: no configuration is named');
const config = JSON.parse(readFileSync(file, 'utf8')) as ProcessorConfig;
const observer = new ObserverStream(config.observerUrl);

const server = createServer({ key: readFileSync(config.keyFile), cert: readFileSync(config.certificateFile) }, (request, response) => {
  const id = request.headers['x-call-id'];
  if (typeof id !== 'string') {
    response.writeHead(request.url === '/healthz' ? 204 : 400).end();
    return;
  }
  observer.write({ event: 'received', at: Date.now(), id, endpoint: 'processor', by: config.name, transport: 'tls', identity: null });
  request.resume().on('end', () => {
    const body = JSON.stringify({ id, service: 'processor', approved: true });
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body);
  });
});
server.keepAliveTimeout = 30_000;

process.on('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
  void observer.end().then(() => process.exit(0));
});
server.listen({ fd: config.fd }, () => console.log('listening\nready'));
