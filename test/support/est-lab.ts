import { request } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { MachineTokens } from '../../src/control/access/machine-tokens.ts';
import { issueControlPlaneCertificate } from '../../src/control/ca/issue-control-plane-certificate.ts';
import type { EstConfig } from '../../src/platform/config/est-config.ts';
import { fetchOutside, type FetchRequest } from '../../src/platform/network/fetch-outside.ts';
import { makeNameResolver } from '../../src/platform/network/name-resolver.ts';
import { parseOutsidePolicy } from '../../src/platform/network/outside-policy.ts';
import { createMetrics } from '../../src/platform/telemetry/metrics.ts';
import { serveEst } from '../../src/server/serve-est.ts';
import { place, trustDomain } from './authorities.ts';
import { openDoorLab } from './door-lab.ts';

export type EstLab = AsyncDisposable & Awaited<ReturnType<typeof openEstLab>>;
export type EstCallOptions = {
  readonly method?: 'GET' | 'POST' | 'HEAD' | 'PUT';
  readonly headers?: { readonly [name: string]: string };
  readonly body?: string | Buffer;
  /** Made once the handshake is done, as a CSR that is bound to it has to be. */
  readonly bodyFor?: (socket: TLSSocket) => string;
  readonly client?: { readonly cert: string; readonly key: string };
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3';
};

/** The real listener of EST over a real CA and database; `profiles` are declared in production. */
export async function openEstLab(
  url: string,
  options: { readonly profiles?: { readonly [name: string]: object }; readonly est?: Partial<EstConfig> } = {},
) {
  const stack = new AsyncDisposableStack();
  const lab = stack.use(await openDoorLab(url, options.profiles ?? {}));
  const { ca, authorities, clock, log } = lab;
  const { database } = ca;
  const names = { dns: ['localhost'], ip: ['127.0.0.1'] };
  const { certificate, privateKey } = await issueControlPlaneCertificate(ca, { ...place, names }, clock.now());
  const policy = parseOutsidePolicy(['127.0.0.0/8'], () => []);
  const resolver = makeNameResolver([]);
  const fetch = (asked: FetchRequest) => fetchOutside({ resolver, policy }, asked);
  const server = stack.use(
    await serveEst({
      config: place,
      est: { listen: { host: '127.0.0.1', port: 0 }, serverNames: [], profile: 'server', bound: [], retryAfterMs: 1_000, ...options.est },
      state: { database },
      authorities,
      machineTokens: new MachineTokens({ database, trustDomain, place, fetch, log }),
      credentials: { chain: [...certificate.chain, ...ca.authorities.roots.map(({ der }) => der)], key: privateKey },
      clock,
      log,
      metrics: createMetrics(),
    }),
  );
  return {
    ...lab,
    port: server.port,
    base: `https://127.0.0.1:${server.port}`,
    call: (path: string, call: EstCallOptions = {}) => send({ port: server.port, roots: lab.root }, path, call),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export type EstReply = {
  readonly status: number;
  readonly headers: { readonly [name: string]: string | string[] | undefined };
  readonly text: string;
};

export function basic(password: string, user = 'device'): { readonly authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}

function send({ port, roots }: { readonly port: number; readonly roots: string }, path: string, call: EstCallOptions): Promise<EstReply> {
  const {
    method = call.body === undefined && call.bodyFor === undefined ? 'GET' : 'POST',
    headers = {},
    body,
    bodyFor,
    client,
    maxVersion,
  } = call;
  const { promise, resolve, reject } = Promise.withResolvers<EstReply>();
  const type = method === 'GET' ? {} : { 'content-type': 'application/pkcs10' };
  const tls = { ca: roots, ...client, ...(maxVersion === undefined ? {} : { maxVersion }) };
  const asked = request({ host: '127.0.0.1', port, path, method, agent: false, ...tls, headers: { ...type, ...headers } }, (response) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => (text += chunk));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    response.on('error', reject);
  });
  asked.on('error', reject);
  if (bodyFor === undefined) asked.end(body);
  else asked.once('socket', (socket) => socket.once('secureConnect', () => asked.end(bodyFor(socket as TLSSocket))));
  return promise;
}
