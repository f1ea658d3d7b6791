import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { parseSpiffeId } from '../src/core/identity/spiffe-id.ts';
import type { TestAuthority, TestCredential } from '../test/support/test-authority.ts';

/** Files and ports that a gateway is set up with: mutual TLS in front, HTTP/1.1 in the clear behind, one worker. */
export type Surroundings = {
  readonly folder: string;
  readonly port: number;
  readonly originPort: number;
  readonly authority: TestAuthority;
  readonly server: TestCredential;
  readonly certFile: string;
  readonly keyFile: string;
  /** Certificate and key in one. */
  readonly bothFile: string;
  readonly rootFile: string;
};

export type Launch = { readonly command: string; readonly args: readonly string[]; readonly env?: { readonly [name: string]: string } };

export type Gateway = {
  readonly name: string;
  /** Where its program is; null where it is not installed. */
  readonly program: string | null;
  readonly prepare: (around: Surroundings, program: string) => Promise<Launch>;
};

export const CALLER = parseSpiffeId('spiffe://bench.example/bench/storefront');
export const SERVICE = parseSpiffeId('spiffe://bench.example/bench/orders');

/** Starts it in a process of its own. */
export function launch({ command, args, env }: Launch) {
  return spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } });
}

/** Where a program of this name is, or null. */
export function onPath(name: string): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin'];
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file)) ?? null;
}

/** Where `npm run peers -- bench` puts it, or null. */
export function inPeers(name: string, program: string): string | null {
  const file = join(import.meta.dirname, '../.test/peers', name, 'bin', program);
  return existsSync(file) ? file : null;
}
