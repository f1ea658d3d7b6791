import { randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, rename, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { Problem } from '../../core/problems/problem.ts';
import { holdSockets } from '../../platform/network/hold-sockets.ts';

export type UnixListenerOptions = {
  /** Absolute. */
  readonly path: string;
  readonly maximumConnections: number;
  readonly onConnection: (socket: Socket) => void;
};

export type UnixListener = { readonly path: string; [Symbol.asyncDispose](): Promise<void> };

/**
 * Listens at a Unix socket that nobody but our own user can open: mode 0600 in a folder of mode 0700. The socket is made under another
 * name and renamed, so it is never there with a wider mode, and takes the place of what a predecessor left that was killed.
 * @throws state-permissions if the folder is open to others; state-conflict if somebody listens there, or something else has the name
 */
export async function openUnixListener({ path, maximumConnections, onConnection }: UnixListenerOptions): Promise<UnixListener> {
  if (!isAbsolute(path) || Buffer.byteLength(path) > MAXIMUM_PATH_OCTETS) {
    throw new Problem('input-invalid', `Cannot listen at ${path}: expected an absolute path of at most ${MAXIMUM_PATH_OCTETS} octets`);
  }
  const folder = dirname(path);
  await requireOwnFolder(folder);
  await requireFree(path);
  // No longer than the name that it gets, however long the folder's is.
  const beginning = join(folder, `.${randomBytes(4).toString('hex')}`.slice(0, Math.max(2, basename(path).length)));
  const server = createServer(onConnection);
  server.maxConnections = maximumConnections;
  const sockets = holdSockets(server);
  await listen(server, beginning);
  await chmod(beginning, 0o600);
  const { ino } = await lstat(beginning);
  await rename(beginning, path);
  return {
    path,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      sockets.destroyAll();
      await closed;
      // A successor may have put its own there.
      if ((await inodeOf(path)) === ino) await rm(path, { force: true });
    },
  };
}

async function requireOwnFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const facts = await lstat(folder);
  if (facts.isDirectory() && (facts.mode & 0o077) === 0 && facts.uid === process.getuid?.()) return;
  throw new Problem(
    'state-permissions',
    `Cannot use ${folder}: mode ${(facts.mode & 0o777).toString(8)}, expected a folder of our own with mode 700`,
  );
}

async function requireFree(path: string): Promise<void> {
  const facts = await lstat(path).catch(() => null);
  if (facts === null) return;
  if (!facts.isSocket() || facts.uid !== process.getuid?.())
    throw new Problem('state-conflict', `Cannot listen at ${path}: it is no socket of ours, expected a free name`);
  if (await isAnswered(path)) throw new Problem('state-conflict', `Cannot listen at ${path}: somebody else does, expected a free name`);
}

/** Nobody answers at the socket of a process that was killed. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'));
  });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function inodeOf(path: string): Promise<number | null> {
  return (await lstat(path).catch(() => null))?.ino ?? null;
}

/** `sun_path` has 108 octets with its end. */
const MAXIMUM_PATH_OCTETS = 107;
