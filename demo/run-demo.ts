import { spawn } from 'node:child_process';
import { join } from 'node:path';

/** How a run of the demo ended: its exit code, its JSON object, and what it told meanwhile. */
export type DemoEnding = { readonly code: number; readonly result: unknown; readonly progress: string };

/** Runs the demo as a process of its own, as `npm run demo` does. */
export async function runDemo(
  args: readonly string[],
  env: { readonly [name: string]: string | undefined } = process.env,
): Promise<DemoEnding> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'main.ts'), '--once', '--json', ...args],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
    },
  );
  let stdout = '';
  let progress = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (progress += text));
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.on('error', reject);
  child.on('close', (code) => resolve(code ?? 255));
  const code = await promise;
  const last = stdout.trim().split('\n').at(-1) ?? '';
  return { code, result: last === '' ? null : JSON.parse(last), progress };
}
