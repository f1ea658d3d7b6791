import { chmod, lstat, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { Problem } from '../../core/problems/problem.ts';
import { type Address, formatAddress } from '../tls/address.ts';

export type Listener = {
  /** Where it really listens: port 0 has become a number. */
  readonly address: Address;
  /** No new connections; the open ones stay. */
  close(): void;
};

export type ListenOptions = {
  readonly address: Address;
  /** A socket that this process was given for the address, bound and perhaps listening. */
  readonly fd: number | undefined;
  /** The kernel spreads connections over all processes that listen at the address so. */
  readonly isShared?: boolean;
  readonly onConnection: (socket: Socket) => void;
};

/** Resolves when connections are accepted. @throws state-conflict when the address is taken or may not be bound */
export async function listen({ address, fd, isShared = false, onConnection }: ListenOptions): Promise<Listener> {
  // Half-open, because in a raw stream either side may end first.
  const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, onConnection);
  server.maxConnections = MAXIMUM_CONNECTIONS;
  if (address.kind === 'unix' && fd === undefined) await clearStalePath(address.path);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  if (fd !== undefined) server.listen({ fd }, resolve);
  else if (address.kind === 'unix') server.listen({ path: address.path }, resolve);
  else server.listen({ host: address.host, port: address.port, reusePort: isShared }, resolve);
  try {
    await promise;
    if (address.kind === 'unix' && fd === undefined) await chmod(address.path, 0o600);
  } catch (error) {
    throw new Problem('state-conflict', `Cannot listen at ${formatAddress(address)}: ${(error as NodeJS.ErrnoException).code}`, {
      cause: error,
    });
  }
  // Such as EMFILE: what cannot be accepted now is accepted later.
  server.on('error', () => {});
  return { address: boundAddress(server, address), close: () => void server.close() };
}

/** A socket file that nobody answers at is left over from a crash. @throws state-conflict when somebody does, or it is no socket */
async function clearStalePath(path: string): Promise<void> {
  const facts = await lstat(path).catch(() => null);
  if (facts === null) return;
  // Settings that name a file by mistake must not delete it.
  if (!facts.isSocket()) throw new Problem('state-conflict', `Cannot listen at unix:${path}: something else than a socket is there`);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ path }, () => resolve(true));
  socket.on('error', () => resolve(false));
  const isAlive = await promise;
  socket.destroy();
  if (isAlive) throw new Problem('state-conflict', `Cannot listen at unix:${path}: another process does`);
  await rm(path, { force: true });
}

function boundAddress(server: Server, address: Address): Address {
  const bound = server.address();
  return address.kind === 'unix' || bound === null || typeof bound === 'string'
    ? address
    : { kind: 'internet', host: address.host, port: bound.port };
}

/** Each costs some 100 kB with TLS; beyond this the kernel's queue is where newcomers wait best. */
const MAXIMUM_CONNECTIONS = 20_000;
