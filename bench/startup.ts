import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Axis, Contender } from './measurement.ts';
import { readUsage } from './process-usage.ts';
import { freePort, stopProgram, untilAnswered } from './program.ts';

/** From spawn to the first answered request, the CPU time until then, and memory when idle. */
export const startupAxis: Axis = {
  name: 'startup',
  meaning: 'spawn to the first answered request, CPU time until then, resident memory when idle',
  contenders: async () => [countersign, bareNode, nginx],
};

type Program = { readonly command: string; readonly args: readonly string[]; readonly url: string };
type Prepare = (folder: string, port: () => Promise<number>) => Promise<Program>;

const root = join(import.meta.dirname, '..');

/** The control plane on a new directory: makes its keys, its authorities and its database before it answers. */
const countersign: Contender = contender('countersign', null, async (folder, port) => {
  const [admin, dataPlane, open] = [await port(), await port(), await port()];
  await writeFile(
    join(folder, 'countersign.yaml'),
    `dataDirectory: data\nkeyFile: kek\ntrustDomain: bench.example\nlogLevel: error\nlisten:\n  admin: 127.0.0.1:${admin}\n  dataPlane: 127.0.0.1:${dataPlane}\n  public: 127.0.0.1:${open}\n`,
  );
  const args = [
    '--disable-warning=ExperimentalWarning',
    join(root, 'src/cli/main.ts'),
    'server',
    '--config',
    join(folder, 'countersign.yaml'),
  ];
  return { command: process.execPath, args, url: `https://127.0.0.1:${admin}/healthz` };
});

/** What the runtime alone costs. */
const bareNode: Contender = contender('node-http', null, async (_folder, port) => {
  const chosen = await port();
  const script = `require('node:http').createServer((q, r) => r.end('ok')).listen(${chosen}, '127.0.0.1')`;
  return { command: process.execPath, args: ['-e', script], url: `http://127.0.0.1:${chosen}/` };
});

const NGINX = '/usr/sbin/nginx';
const nginx: Contender = contender('nginx', existsSync(NGINX) ? null : 'not installed', async (folder, port) => {
  const chosen = await port();
  await writeFile(
    join(folder, 'nginx.conf'),
    `daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;\nevents {}\nhttp { access_log off; server { listen 127.0.0.1:${chosen}; location / { return 200 "ok"; } } }\n`,
  );
  return {
    command: NGINX,
    args: ['-c', join(folder, 'nginx.conf'), '-p', folder, '-e', join(folder, 'error.log')],
    url: `http://127.0.0.1:${chosen}/`,
  };
});

function contender(name: string, absent: string | null, prepare: Prepare): Contender {
  return {
    name,
    absent: () => absent,
    measure: async () => {
      const folder = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
      const program = await prepare(folder, freePort);
      const startedAt = performance.now();
      const child = spawn(program.command, program.args, { stdio: ['ignore', 'ignore', 'inherit'] });
      try {
        await untilAnswered(program.url, child);
        const readyMs = performance.now() - startedAt;
        const { cpuMs } = readUsage(child.pid!);
        await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
        const { rssMb } = readUsage(child.pid!);
        return [
          { metric: 'ready_ms', unit: 'ms', value: readyMs },
          { metric: 'cpu_ms', unit: 'ms', value: cpuMs },
          { metric: 'rss_idle_mb', unit: 'MiB', value: rssMb },
        ];
      } finally {
        await stopProgram(child);
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

const IDLE_MS = 2_000;
