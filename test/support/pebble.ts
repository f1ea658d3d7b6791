import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get, request } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { encodePem } from '../../src/core/x509/pem.ts';
import { freePort } from './free-port.ts';
import { makeTestAuthority } from './test-authority.ts';

/** The program, or null where `npm run peers` did not put it. */
export const pebbleProgram: string | null = ((file) => (existsSync(file) ? file : null))(
  join(import.meta.dirname, '../../.test/peers/bin/pebble'),
);

export type PebbleOptions = {
  /** `IP:PORT` of the DNS server that it asks. */
  readonly dns: string;
  /** Where it looks for the answers of http-01. */
  readonly httpPort: number;
  /** MAC keys by their ids; with any, no account is made without. */
  readonly bindings?: { readonly [keyId: string]: string };
  /** How many good nonces of a hundred it refuses. */
  readonly refusedNonces?: number;
};

export type Pebble = AsyncDisposable & Awaited<ReturnType<typeof startPebble>>;

/** Pebble, Let's Encrypt's CA for tests, on loopback. Its state lies in memory: a second start on the same ports knows nothing. */
export async function startPebble({ dns, httpPort, bindings = {}, refusedNonces = 0 }: PebbleOptions) {
  if (pebbleProgram === null) throw new Error('Pebble is missing');
  const program = pebbleProgram;
  const folder = await mkdtemp(join(tmpdir(), 'countersign-pebble-'));
  const [port, management] = [await freePort(), await freePort()];
  const transport = makeTestAuthority(Date.now());
  const credential = transport.issue({ ips: ['127.0.0.1'], usages: ['server'] });
  const anchorsPem = encodePem('CERTIFICATE', transport.root.der);
  const [certificate, privateKey, config] = ['cert.pem', 'key.pem', 'pebble.json'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await writeFile(certificate, credential.chain.map((der) => encodePem('CERTIFICATE', der)).join(''));
  await writeFile(privateKey, credential.key.export({ type: 'pkcs8', format: 'pem' }));
  const pebble = {
    listenAddress: `127.0.0.1:${port}`,
    managementListenAddress: `127.0.0.1:${management}`,
    certificate,
    privateKey,
    httpPort,
    tlsPort: await freePort(),
    ocspResponderURL: '',
    externalAccountBindingRequired: Object.keys(bindings).length > 0,
    externalAccountMACKeys: bindings,
    retryAfter: { authz: 1, order: 1 },
    keyAlgorithm: 'ecdsa',
    profiles: {
      default: { description: 'as ever', validityPeriod: 7_776_000 },
      shortlived: { description: 'short', validityPeriod: 518_400 },
    },
  };
  await writeFile(config, JSON.stringify({ pebble }));
  const start = async (): Promise<ChildProcess> => {
    const child = spawn(program, ['-config', config, '-strict', '-dnsserver', dns], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: String(refusedNonces), PEBBLE_AUTHZREUSE: '0' },
    });
    let said = '';
    const hear = (chunk: Buffer): void => void (said = `${said}${chunk.toString()}`.slice(-20_000));
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    const { promise: ended, reject } = Promise.withResolvers<never>();
    child.once('exit', (code) => reject(new Error(`Pebble ended with ${code}: ${said}`)));
    child.once('error', reject);
    ended.catch(() => undefined);
    // It says that it listens before it does.
    for (const one of [port, management]) await Promise.race([accepts(one), ended]);
    return child;
  };
  let running: ChildProcess | null = await start();
  const stop = async (): Promise<void> => {
    if (running === null) return;
    const end = once(running, 'exit');
    running.kill();
    await end;
    running = null;
  };
  const base = `https://127.0.0.1:${management}`;
  return {
    directoryUrl: `https://127.0.0.1:${port}/dir`,
    anchorsPem,
    stop,
    start: async () => void (running ??= await start()),
    /** What its certificates lead to; made anew at each start. */
    rootPem: () => fetchText(`${base}/roots/0`, anchorsPem),
    /** Sets the window in which it wants the certificate (PEM) to be renewed. */
    setRenewalWindow: (pem: string, start: Date, end: Date) => {
      const suggestedWindow = { start: start.toISOString(), end: end.toISOString() };
      return postJson(`${base}/set-renewal-info/`, anchorsPem, { certificate: pem, ariResponse: JSON.stringify({ suggestedWindow }) });
    },
    async [Symbol.asyncDispose]() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function accepts(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const [outcome] = await Promise.race([
      once(socket, 'connect').then(() => ['open']),
      once(socket, 'close').then(() => ['closed']),
    ]).catch(() => ['closed']);
    socket.destroy();
    if (outcome === 'open') return;
    await pause(20);
  }
}

async function fetchText(url: string, ca: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  get(url, { ca, agent: false }, (answer) => {
    let text = '';
    answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    answer.on('end', () => resolve(text));
  }).on('error', reject);
  return promise;
}

async function postJson(url: string, ca: string, value: unknown): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const outgoing = request(url, { method: 'POST', ca, agent: false, headers: { 'user-agent': 'countersign-tests' } }, (answer) => {
    let text = '';
    answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    answer.on('end', () => (answer.statusCode === 200 ? resolve() : reject(new Error(`Pebble answered ${answer.statusCode}: ${text}`))));
  });
  outgoing.on('error', reject);
  outgoing.end(JSON.stringify(value));
  return promise;
}
