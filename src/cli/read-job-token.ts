import { readFile } from 'node:fs/promises';
import { Problem } from '../core/problems/problem.ts';
import type { Secret } from '../core/secrets/secret.ts';
import { parseToken } from './client.ts';
import { type Invocation, textOption, UsageError } from './command.ts';
import { fetchGithubToken } from './fetch-github-token.ts';

/**
 * The identity that a pipeline's platform gives its job: fetched from GitHub Actions, or in a variable or file that others wrote. Null without --oidc.
 * The token itself is never an argument, which every process of the machine can read.
 * @throws input-invalid, UsageError, UnreachableServer
 */
export async function readJobToken(invocation: Invocation): Promise<Secret | null> {
  const source = textOption(invocation, 'oidc');
  if (source === undefined) return null;
  if (textOption(invocation, 'oidcTokenFile') !== undefined) throw new UsageError('--oidc and --oidc-token-file exclude one another');
  if (source === 'github') return fetchGithubToken(process.env, audienceOf(invocation));
  const [, kind, rest] = /^(env|file):(.+)$/s.exec(source) ?? [];
  if (kind === 'env') return readVariable(rest!);
  if (kind === 'file') return parseToken(rest!, await readTokenFile(rest!));
  throw new UsageError('--oidc names no source, expected github, env:NAME or file:PATH');
}

function audienceOf(invocation: Invocation): string {
  const server = textOption(invocation, 'server') ?? process.env['COUNTERSIGN_SERVER'] ?? '';
  const audience = textOption(invocation, 'audience') ?? (URL.canParse(server) ? new URL(server).origin : '');
  if (audience === '') throw new UsageError('--audience is missing');
  return audience;
}

function readVariable(name: string): Secret {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,99}$/.test(name)) throw new UsageError('--oidc env: names no variable');
  const text = process.env[name];
  if (text === undefined || text === '')
    throw new Problem('input-invalid', `Cannot read token: variable ${name} is not set, expected the token (id_tokens in GitLab)`);
  return parseToken(name, text);
}

async function readTokenFile(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: unknown) => {
    throw new Problem('input-invalid', `Cannot read token: ${file}, expected a readable file`, { cause });
  });
}
