/**
 * `main.ts FILE`: the observer, a process of its own. Appends each line that callers and origins post to FILE and counts them.
 * It judges nothing; analyse.ts reads the file afterwards.
 *
 * POST /events        lines of JSON, one event each; the body may stay open for the writer's whole life
 * POST /checkpoints   `{"url", "file"}`: fetch this address again and again and keep each new answer in `file`
 * GET  /totals        how many lines of each kind were written
 */
import { appendFileSync, createWriteStream } from 'node:fs';
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const CHECKPOINT_EVERY_MS = 250;
const LONGEST_LINE_CHARACTERS = 64 * 1024;
const LONGEST_CHECKPOINT_CHARACTERS = 4096;

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('Cannot observe: no file is named');

const totals: { [kind: string]: number } = {};
const lines = createWriteStream(file, { flags: 'a', mode: 0o600 });
const writers = new Set<IncomingMessage>();

function write(line: string): void {
  if (line === '') return;
  const kind = /^\{"event":"(\w+)"/.exec(line)?.[1] ?? 'unknown';
  totals[kind] = (totals[kind] ?? 0) + 1;
  lines.write(`${line}\n`);
}

function receive(request: IncomingMessage, response: ServerResponse): void {
  let rest = '';
  writers.add(request);
  request.setEncoding('utf8');
  request.on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    if (rest.length > LONGEST_LINE_CHARACTERS) request.destroy();
    for (const line of parts) write(line);
  });
  request.on('end', () => {
    write(rest);
    response.writeHead(204).end();
  });
  request.on('close', () => writers.delete(request));
}

/** Keeps a checkpoint when it differs from the last one kept, with the time at which it was seen. */
function keepCheckpoints(url: string, into: string): void {
  let last = '';
  const timer = setInterval(() => {
    const request = get(url, { timeout: 2000 }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => (text += part.slice(0, LONGEST_CHECKPOINT_CHARACTERS)));
      response.on('end', () => {
        if (response.statusCode !== 200 || text === last) return;
        last = text;
        appendFileSync(into, `${JSON.stringify({ at: Date.now(), checkpoint: text })}\n`, { mode: 0o600 });
      });
    });
    // The control plane may be away for a while; the next round asks again.
    request.on('error', () => undefined);
    request.on('timeout', () => request.destroy());
  }, CHECKPOINT_EVERY_MS);
  timer.unref();
}

const server = createServer((request, response) => {
  if (request.method === 'POST' && request.url === '/events') return receive(request, response);
  if (request.method === 'GET' && request.url === '/totals') {
    return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(totals));
  }
  if (request.method === 'POST' && request.url === '/checkpoints') {
    let text = '';
    request.on('data', (part: Buffer) => (text += part.toString()));
    return request.on('end', () => {
      const wanted = JSON.parse(text) as { readonly url: string; readonly file: string };
      keepCheckpoints(wanted.url, wanted.file);
      response.writeHead(204).end();
    });
  }
  return response.writeHead(404).end();
});
// Writers hold one request open from their start to their end.
server.requestTimeout = 0;

process.on('SIGTERM', () => {
  for (const writer of writers) writer.destroy();
  server.close();
  server.closeAllConnections();
  lines.end(() => process.exit(0));
});

server.listen(0, '127.0.0.1', () => console.log(`ready ${(server.address() as AddressInfo).port}`));
