/**
 * `thief.ts CONFIG`: calls an endpoint with the key and certificate of a service, as somebody who stole them would: on one connection
 * that stays open, on connections that resume a session, and on new ones. It asks the sidecar of nobody and goes on until ended.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { ObserverStream } from '../acme/observer-stream.ts';
import type { ThiefConfig } from './impostor-config.ts';
import { stealIdentity } from './steal-identity.ts';

const TIMEOUT_MS = 2_000;
const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('Cannot start the thief: no configuration is named');
const config = JSON.parse(readFileSync(file, 'utf8')) as ThiefConfig;
const observer = new ObserverStream(config.observerUrl);
const prefix = `f1f1${randomBytes(4).toString('hex')}`;
const stolen = stealIdentity(config.stateDirectory);
if (stolen === null) throw new Error(`Cannot steal from ${config.stateDirectory}: nothing has joined there`);
const credential: ConnectionOptions = {
  host: '127.0.0.1',
  port: config.port,
  ...stolen,
  rejectUnauthorized: false,
};
let count = 0;
let session: Buffer | undefined;

/** One call over a socket; true if the origin's answer to exactly this call came back. */
async function call(socket: TLSSocket, kind: string): Promise<boolean> {
  const id = prefix + (count++).toString(16).padStart(8, '0');
  const facts = { id, role: 'thief', caller: config.caller, endpoint: config.endpoint, by: 'thief' } as const;
  observer.write({ event: 'begun', at: Date.now(), ...facts, detail: kind });
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = '';
  const onData = (part: Buffer): void => {
    text += part.toString('latin1');
    if (text.includes(`"id":"${id}"`)) resolve('answered');
  };
  const onEnd = (): void => resolve('closed');
  const onError = (error: NodeJS.ErrnoException): void => resolve(error.code ?? error.message);
  const timer = setTimeout(() => resolve('timeout'), TIMEOUT_MS);
  socket.on('data', onData).on('close', onEnd).on('end', onEnd).on('error', onError);
  if (socket.destroyed) resolve('closed');
  else socket.write(`GET /v1/${config.endpoint} HTTP/1.1\r\nHost: ${config.endpoint}\r\nx-call-id: ${id}\r\n\r\n`);
  const outcome = await promise;
  clearTimeout(timer);
  socket.off('data', onData).off('close', onEnd).off('end', onEnd).off('error', onError);
  observer.write({ event: 'ended', at: Date.now(), ...facts, outcome });
  return outcome === 'answered';
}

function openSocket(options: ConnectionOptions): TLSSocket {
  const socket = connect({ ...credential, ...options });
  socket.setNoDelay(true);
  // A refused connection is the expected end; the call that runs on it reports it.
  socket.on('error', () => undefined);
  socket.on('session', (fresh) => (session = fresh));
  return socket;
}

let openConnection = openSocket({});
let isBusy = false;

async function callOnOpenConnection(): Promise<void> {
  if (isBusy) return;
  isBusy = true;
  const isAnswered = await call(openConnection, 'open');
  isBusy = false;
  // Whoever is thrown out comes back; an endless open connection is what this measures, so a new one starts only after its end.
  if (!isAnswered) openConnection = openSocket({});
}

/** A call counts as resumed only if the server really took the session up. */
async function callOnFreshConnection(kind: 'resumed' | 'new'): Promise<void> {
  const socket = openSocket(kind === 'resumed' && session !== undefined ? { session } : {});
  await shakeHands(socket);
  await call(socket, kind === 'resumed' && !socket.isSessionReused() ? 'not-resumed' : kind);
  socket.destroy();
}

/** Waits for the end of the handshake, or of the connection. */
async function shakeHands(socket: TLSSocket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.once('secureConnect', resolve).once('close', () => resolve());
  const timer = setTimeout(resolve, TIMEOUT_MS);
  await promise;
  clearTimeout(timer);
}

const every = 1000 / config.callsPerSecond;
const timers = [
  setInterval(() => void callOnOpenConnection(), every),
  setInterval(() => void callOnFreshConnection('resumed'), every),
  setInterval(() => void callOnFreshConnection('new'), every),
];

process.on('SIGTERM', () => {
  for (const timer of timers) clearInterval(timer);
  openConnection.destroy();
  void observer.end().then(() => process.exit(0));
});
console.log('ready');
