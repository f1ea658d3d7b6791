import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** How often a process flushed files while `work` ran, by strace; null where there is no strace. */
export async function countFlushes(pid: number, work: () => Promise<void>): Promise<number | null> {
  if (spawnSync('strace', ['-V']).status !== 0) return null;
  const folder = await mkdtemp(join(tmpdir(), 'countersign-trace-'));
  const file = join(folder, 'trace');
  const tracer = spawn('strace', ['-f', '-e', 'trace=fsync,fdatasync,msync,sync_file_range', '-o', file, '-p', String(pid)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  try {
    const ended = once(tracer, 'exit');
    // It says so when it holds the process.
    await Promise.race([once(tracer.stderr, 'data'), ended]);
    if (tracer.exitCode !== null) return null;
    await work();
    tracer.kill('SIGINT');
    await ended;
    const lines = (await readFile(file, 'utf8')).split('\n');
    return lines.filter((line) => / (?:fsync|fdatasync|msync|sync_file_range)\(/.test(line)).length;
  } finally {
    if (tracer.exitCode === null) tracer.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  }
}
