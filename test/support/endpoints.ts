import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import type { HostPort } from '../../src/platform/network/host-port.ts';
import { encodePem } from '../../src/core/x509/pem.ts';
import type { TestCredential } from './test-authority.ts';

/** A listening address of a test, with what reached it. */
export type Endpoint = AsyncDisposable & {
  readonly address: HostPort;
  /** Connections accepted so far. */
  readonly connections: () => number;
  /** Octets that came, before any decryption. */
  readonly octets: () => number;
};

/** Key and chain as Node's servers and clients take them. */
export function pemOf({ key, chain }: TestCredential): { readonly key: string; readonly cert: string } {
  return {
    key: key.export({ type: 'pkcs8', format: 'pem' }) as string,
    cert: chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
  };
}

/** A TLS server that answers every request with `answer`, and nothing else of HTTP. */
export function openTlsEndpoint(options: TlsOptions, answer = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'): Promise<Endpoint> {
  const server = createTlsServer(options, (socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(answer));
  });
  server.on('tlsClientError', () => undefined);
  return listen(server);
}

export function openHttpEndpoint(): Promise<Endpoint> {
  return listen(createHttpServer((_request, response) => response.end('plain')) as unknown as Server);
}

/** A TCP server that does with each connection what it is told; without a handler it only listens. */
export function openTcpEndpoint(handler: (socket: Socket) => void = () => undefined): Promise<Endpoint> {
  return listen(
    createServer((socket) => {
      socket.on('error', () => undefined);
      handler(socket);
    }),
  );
}

async function listen(server: Server, host = '127.0.0.1'): Promise<Endpoint> {
  const open = new Set<Socket>();
  let accepted = 0;
  let ended = 0;
  server.on('connection', (socket: Socket) => {
    accepted++;
    open.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      open.delete(socket);
      ended += socket.bytesRead;
    });
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, host, resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no TCP address');
  return {
    address: { host, port: address.port },
    connections: () => accepted,
    octets: () => ended + [...open].reduce((sum, { bytesRead }) => sum + bytesRead, 0),
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

/** An address on which nothing listens: it was free a moment ago. */
export async function closedAddress(): Promise<HostPort> {
  await using endpoint = await openTcpEndpoint();
  return endpoint.address;
}
