import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { runProgram } from './peer-program.ts';

const program = join(import.meta.dirname, '../../.test/peers/bin/go-spiffe-peer');

/** A reason to leave out the tests that need it, or false. With CI=true its absence is no reason: they fail. */
export const missingGoSpiffe: string | false =
  existsSync(program) || process.env['CI'] === 'true' ? false : 'no go-spiffe-peer here: npm run peers';

export type GoSpiffeAnswer = { readonly kind: 'answer'; readonly json: any } | { readonly kind: 'refused'; readonly reason: string };

/** Runs one act of test/peers/go-spiffe. */
export async function goSpiffe(act: string, options: { readonly [name: string]: string }): Promise<GoSpiffeAnswer> {
  const { code, stdout, stderr } = await runProgram(program, argsOf(act, options));
  return code === 0 ? { kind: 'answer', json: JSON.parse(stdout) } : { kind: 'refused', reason: stderr.trim() };
}

/** An act that serves until it is disposed of. */
export async function serveGoSpiffe(
  act: 'serve-bundle' | 'server',
  options: { readonly [name: string]: string },
): Promise<AsyncDisposable & { readonly port: number }> {
  const child: ChildProcess = spawn(program, argsOf(act, options), { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = (await once(createInterface({ input: child.stdout! }), 'line')) as [string];
  return {
    port: (JSON.parse(line) as { readonly port: number }).port,
    async [Symbol.asyncDispose]() {
      const ended = child.exitCode === null ? once(child, 'exit') : null;
      child.stdin!.end();
      await ended;
    },
  };
}

/** A trust domain that go-spiffe made: its bundle, and an SVID each of `/endpoint` and `/workload`. Files, as programs want them. */
export type GoSpiffeDomain = {
  readonly name: string;
  readonly bundleFile: string;
  readonly bundle: () => string;
  readonly endpoint: { readonly cert: string; readonly key: string; readonly id: string };
  readonly workload: { readonly cert: string; readonly key: string; readonly id: string };
};

export async function makeGoSpiffeDomain(
  folder: string,
  name: string,
  { sequence = 1, hint = '5m' }: { readonly sequence?: number; readonly hint?: string } = {},
): Promise<GoSpiffeDomain> {
  const out = join(folder, `${name}-${sequence}`);
  mkdirSync(out, { recursive: true });
  const made = await goSpiffe('domain', { td: name, out, sequence: String(sequence), hint });
  if (made.kind === 'refused') throw new Error(made.reason);
  const bundleFile = join(out, 'bundle.json');
  const svid = (which: string) => ({
    cert: join(out, `${which}.pem`),
    key: join(out, `${which}.key`),
    id: `spiffe://${name}/${which}`,
  });
  return { name, bundleFile, bundle: () => readFileSync(bundleFile, 'utf8'), endpoint: svid('endpoint'), workload: svid('workload') };
}

function argsOf(act: string, options: { readonly [name: string]: string }): string[] {
  return [act, ...Object.entries(options).flatMap(([name, value]) => [`-${name}`, value])];
}
