import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { connect, type Socket } from 'node:net';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { after, describe, test } from 'node:test';
import pg from 'pg';
import { connectClient } from '../../src/cli/client.ts';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { buildCertificateRequest } from '../../src/core/x509/certificate-request.ts';
import { encodePem } from '../../src/core/x509/pem.ts';
import { runCommand, startServerProcess, writeServerConfig } from '../support/command-line.ts';
import { forEachDatabase } from '../support/databases.ts';
import { checkFlushOrder, tracedCalls } from './check-flush-order.ts';
import { readTrace } from './read-trace.ts';

const REQUESTS = 20;
const scratch = mkdtempSync(join(tmpdir(), 'countersign-durability-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const isTraceable = spawnSync('strace', ['-V']).status === 0;
const skip = isTraceable || process.env['CI'] === 'true' ? false : 'no strace here';
/** -yy names the file or the connection of each descriptor. */
const strace = (file: string): string[] => [
  'strace',
  '-f',
  '-yy',
  '-s',
  '0',
  '-e',
  `trace=${tracedCalls}`,
  '-e',
  'signal=none',
  '-o',
  file,
];

describe('flush before answer, under strace', { skip }, () => {
  test('no certificate leaves the control plane before the flush that covers it', async () => {
    const folder = mkdtempSync(join(scratch, 'server-'));
    const trace = join(folder, 'trace');
    let clientPort: number;
    {
      await using server = await startServerProcess(writeServerConfig(folder), strace(trace));
      clientPort = await issueByRest(new URL(`https://${server.addresses.admin}`), join(folder, 'data'));
    }
    const report = checkFlushOrder(readTrace(readFileSync(trace, 'utf8')), { clientPort, requests: REQUESTS });
    assert.deepEqual(report.violations, []);
    for (const { octetsAnswered } of report.exchanges)
      assert.ok(octetsAnswered > 1_000, `an answer of ${octetsAnswered} octets is no certificate`);
  });

  test('the examination passes on the small program with the pragma that the product sets', async () => {
    assert.deepEqual((await examineAnsweringProcess('FULL')).violations, []);
  });

  for (const synchronous of ['NORMAL', 'OFF'] as const) {
    test(`the same examination fails with PRAGMA synchronous=${synchronous}: every answer leaves before a flush`, async () => {
      const { violations } = await examineAnsweringProcess(synchronous);
      for (let answer = 1; answer <= REQUESTS; answer++) {
        const own = violations.filter((violation) => violation.startsWith(`answer ${answer}:`));
        assert.match(own.join('; '), /0 flushed commits before it, expected 2; .*it left before the flush of the last write/);
      }
    });
  }
});

forEachDatabase('a server that could lose what it answered', (newUrl, kind) => {
  if (kind === 'sqlite') {
    test('has its file in write-ahead mode, whatever another program made of it', async () => {
      const url = await newUrl();
      const config = writeServerConfig(mkdtempSync(join(scratch, 'unsafe-')), [`database: ${url}`]);
      for (const journal of ['delete', 'truncate']) {
        assert.equal(askJournal(url, `journal_mode = ${journal}`), journal);
        await using _server = await startServerProcess(config);
        assert.equal(askJournal(url, 'journal_mode'), 'wal');
      }
    });
    return;
  }
  test('refuses to start while synchronous_commit is off, and starts once it is on again', async () => {
    const url = await newUrl();
    const config = writeServerConfig(mkdtempSync(join(scratch, 'unsafe-')), [`database: ${url}`]);
    await alterDatabase(url, 'set synchronous_commit = off');
    const { code, stderr } = await runCommand(['server', '--config', config]);
    assert.equal(code, exitCodes.internal.code);
    assert.match(stderr, /synchronous_commit is off.*\[database-unsafe\]/);
    assert.doesNotMatch(stderr, /server listens/);
    await alterDatabase(url, 'reset synchronous_commit');
    await using server = await startServerProcess(config);
    assert.equal(await server.stop(), 0);
  });
});

function askJournal(url: string, pragma: string): unknown {
  using file = new DatabaseSync(url.slice('sqlite:'.length));
  return file.prepare(`PRAGMA ${pragma}`).get()?.['journal_mode'];
}

async function alterDatabase(url: string, change: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query(`alter database ${new URL(url).pathname.slice(1)} ${change}`);
  await client.end();
}

/** Asks for certificates one after another over one connection; answers with its port on this side. */
async function issueByRest(server: URL, dataDirectory: string): Promise<number> {
  const rootPem = readFileSync(join(dataDirectory, 'root.pem'), 'utf8');
  const token = readFileSync(join(dataDirectory, 'bootstrap.token'), 'utf8').trim();
  const open = connectClient({ server, rootPem, token: null });
  const admin = await open.post<{ readonly token: string }>('/v1/bootstrap-exchange', { token, name: 'durability' });
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: rootPem });
  const ports = new Set<number>();
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spiffeId = 'spiffe://acme.example/production/worker';
  const body = JSON.stringify({
    csr: encodePem('CERTIFICATE REQUEST', buildCertificateRequest({ uris: [spiffeId] }, privateKey)),
    profile: 'workload',
    spiffeId,
  });
  try {
    // The server's part of the handshake ends with tickets that no request asked for; this request takes them out of the way.
    await send(agent, new URL('/v1/caller', server), { method: 'GET', token: admin.token });
    for (let count = 0; count < REQUESTS; count++) {
      const { port, status, content } = await send(agent, new URL('/v1/certificates', server), {
        method: 'POST',
        token: admin.token,
        body,
      });
      ports.add(port);
      assert.equal(status, 201, content);
      assert.match(content, /BEGIN CERTIFICATE/);
    }
  } finally {
    agent.destroy();
  }
  assert.equal(ports.size, 1, 'the requests came over one connection');
  return [...ports][0]!;
}

type Answer = { readonly port: number; readonly status: number; readonly content: string };

async function send(
  agent: Agent,
  url: URL,
  { method, token, body }: { readonly method: string; readonly token: string; readonly body?: string },
): Promise<Answer> {
  const content = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const outgoing = request(url, { agent, method, headers: { authorization: `Bearer ${token}`, ...content } });
  outgoing.end(body);
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  return { port: response.socket.localPort!, status: response.statusCode!, content: await text(response) };
}

async function examineAnsweringProcess(synchronous: 'OFF' | 'NORMAL' | 'FULL') {
  const folder = mkdtempSync(join(scratch, 'process-'));
  const trace = join(folder, 'trace');
  const program = [process.execPath, '--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'answering-process.ts')];
  const [command, ...args] = [...strace(trace), ...program, join(folder, 'state.sqlite'), synchronous];
  const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const [line] = (await Promise.race([
    once(createInterface(child.stdout), 'line'),
    ended.then(() => assert.fail('the program ended before it listened')),
  ])) as [string];
  const { pid, port } = JSON.parse(line) as { readonly pid: number; readonly port: number };
  const clientPort = await issueByLines(connect(port, '127.0.0.1')).catch((error: unknown) => {
    process.kill(pid, 'SIGKILL');
    throw error;
  });
  assert.deepEqual(await ended, [0, null]);
  return checkFlushOrder(readTrace(readFileSync(trace, 'utf8')), { clientPort, requests: REQUESTS });
}

async function issueByLines(socket: Socket): Promise<number> {
  await once(socket, 'connect');
  const { localPort } = socket;
  const answers = createInterface(socket)[Symbol.asyncIterator]();
  for (let count = 0; count < REQUESTS; count++) {
    socket.write('certificate\n');
    assert.equal((await answers.next()).done, false);
  }
  socket.end();
  return localPort!;
}
