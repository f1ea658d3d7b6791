import { createServer as createPlain, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecure, type ServerOptions as SecureOptions } from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import { holdSockets } from './hold-sockets.ts';
import type { HostPort } from './host-port.ts';

/** What one client, and all of them together, may take of a listener. */
export type HttpLimits = {
  /** Octets. */
  readonly headers: number;
  /** How long a request may take to arrive, head and body. */
  readonly requestMs: number;
  readonly connections: number;
  /** How long a connection may wait for its next request; Node's own 5 s if not given. */
  readonly keepAliveMs?: number;
};

export type HttpListener = AsyncDisposable & {
  /** The one that the system chose where 0 was asked for. */
  readonly port: number;
};

export type HttpsListener = HttpListener & {
  /** For new connections; open ones keep what they have. */
  setSecureContext(context: SecureContextOptions): void;
};

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

type Place = { readonly listen: HostPort; readonly limits: HttpLimits };

/** Listens for HTTP in the clear. When it is disposed of, every connection ends at once. */
export function openHttpListener({ listen, limits }: Place, answer: Answer): Promise<HttpListener> {
  return opened(createPlain(nodeLimits(limits), answer), { listen, limits });
}

/** The same over TLS. */
export async function openHttpsListener(
  { listen, limits, tls }: Place & { readonly tls: SecureOptions },
  answer: Answer,
): Promise<HttpsListener> {
  const server = createSecure({ ...tls, ...nodeLimits(limits) }, answer);
  return { ...(await opened(server, { listen, limits })), setSecureContext: (context) => server.setSecureContext(context) };
}

function nodeLimits({ headers, requestMs }: HttpLimits) {
  return { maxHeaderSize: headers, requestTimeout: requestMs, headersTimeout: requestMs };
}

async function opened(server: ReturnType<typeof createPlain>, { listen, limits }: Place): Promise<HttpListener> {
  const sockets = holdSockets(server);
  server.maxConnections = limits.connections;
  if (limits.keepAliveMs !== undefined) server.keepAliveTimeout = limits.keepAliveMs;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(listen.port, listen.host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : listen.port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      sockets.destroyAll();
      await closed;
    },
  };
}
