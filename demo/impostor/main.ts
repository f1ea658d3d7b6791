/** `main.ts CONFIG`: somebody on the network who wants the answers of sensitive endpoints, from the first second to the last. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { request as requestByHttps } from 'node:https';
import { ObserverStream } from '../acme/observer-stream.ts';
import type { ImpostorConfig } from './impostor-config.ts';
import { stealIdentity, type StolenIdentity } from './steal-identity.ts';

const HOST = '127.0.0.1';
const TIMEOUT_MS = 2_000;
const NEW_CONNECTION_EVERY_MS = 120;
const KEPT_CONNECTION_EVERY_MS = 500;
/** RFC 9440 section 2.1 and Envoy's header: what a careless service would believe. */
const identityHeaders = ['x-forwarded-client-cert', 'client-cert'] as const;

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('Cannot start the impostor: no configuration is named');
const config = JSON.parse(readFileSync(file, 'utf8')) as ImpostorConfig;
const observer = new ObserverStream(config.observerUrl);
const prefix = `f0f0${randomBytes(4).toString('hex')}`;
const keptConnections = new Agent({ keepAlive: true, maxSockets: 1 });
let count = 0;

/** The ways to claim an identity, each with what it needs to be tried. */
const attacks = {
  'no-certificate': (port: number, endpoint: string) => tryPlaintext('no-certificate', port, endpoint, {}),
  'forged-header': (port: number, endpoint: string) => tryPlaintext('forged-header', port, endpoint, forgedHeaders(endpoint)),
  'self-signed': (port: number, endpoint: string) => {
    const { key, certificate } = config.forged[endpoint]!;
    tryTls('self-signed', port, endpoint, { key, cert: certificate });
  },
  'stolen-certificate': (port: number, endpoint: string) => {
    const stolen = stealIdentity(config.stolenStateDirectory);
    if (stolen !== null) tryTls('stolen-certificate', port, endpoint, stolen);
  },
} as const;

function forgedHeaders(endpoint: string): { [header: string]: string } {
  const { certificate, spiffeId } = config.forged[endpoint]!;
  const der = certificate.replace(/-----[^-]+-----|\s/g, '');
  return {
    [identityHeaders[0]]: `By=spiffe://acme.example/demo/${endpoint};URI=${spiffeId}`,
    [identityHeaders[1]]: `:${der}:`,
  };
}

type Attempt = { readonly id: string; readonly end: (outcome: string) => void };

function begin(detail: string, endpoint: string): Attempt {
  const id = prefix + (count++).toString(16).padStart(8, '0');
  const facts = { id, role: 'impostor', caller: 'impostor', endpoint, by: 'impostor' } as const;
  observer.write({ event: 'begun', at: Date.now(), ...facts, detail });
  let hasEnded = false;
  const end = (outcome: string): void => {
    if (hasEnded) return;
    hasEnded = true;
    observer.write({ event: 'ended', at: Date.now(), ...facts, outcome });
  };
  return { id, end };
}

function tryPlaintext(detail: string, port: number, endpoint: string, headers: { readonly [header: string]: string }, agent?: Agent): void {
  const attempt = begin(detail, endpoint);
  const options = { host: HOST, port, path: `/v1/${endpoint}`, method: 'POST', timeout: TIMEOUT_MS, agent: agent ?? false };
  readAnswer(request({ ...options, headers: { ...headers, 'x-call-id': attempt.id } }), attempt);
}

function tryTls(detail: string, port: number, endpoint: string, credential: StolenIdentity): void {
  const attempt = begin(detail, endpoint);
  const options = { host: HOST, port, path: `/v1/${endpoint}`, method: 'POST', timeout: TIMEOUT_MS, agent: false as const };
  // Whom it talks to does not matter to an impostor.
  const tls = { ...credential, rejectUnauthorized: false };
  try {
    readAnswer(requestByHttps({ ...options, ...tls, headers: { ...forgedHeaders(endpoint), 'x-call-id': attempt.id } }), attempt);
  } catch (error) {
    attempt.end(`unusable: ${error instanceof Error ? error.message : 'unknown'}`);
  }
}

function readAnswer(call: ReturnType<typeof request>, { id, end }: Attempt): void {
  call.on('response', (response) => {
    let text = '';
    response.on('data', (part: Buffer) => (text += part.toString('latin1')));
    response.on('end', () => end(response.statusCode === 200 && text.includes(id) ? 'answered' : `status ${response.statusCode}`));
    response.on('error', () => end('cut off'));
  });
  call.on('timeout', () => call.destroy(new Error('timeout')));
  call.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  call.end();
}

let turn = 0;
const kinds = Object.keys(attacks) as (keyof typeof attacks)[];
const timers = [
  setInterval(() => {
    const target = config.targets[turn % config.targets.length]!;
    const kind = kinds[Math.floor(turn / config.targets.length) % kinds.length]!;
    const round = Math.floor(turn / (config.targets.length * kinds.length));
    attacks[kind](target.ports[round % target.ports.length]!, target.endpoint);
    turn += 1;
  }, NEW_CONNECTION_EVERY_MS),
  setInterval(() => {
    for (const { endpoint, ports } of config.targets) {
      tryPlaintext('forged-header-kept-connection', ports[0]!, endpoint, forgedHeaders(endpoint), keptConnections);
    }
  }, KEPT_CONNECTION_EVERY_MS),
];

process.on('SIGTERM', () => {
  for (const timer of timers) clearInterval(timer);
  void observer.end().then(() => process.exit(0));
});
console.log('ready');
