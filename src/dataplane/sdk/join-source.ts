import { readFile } from 'node:fs/promises';
import { type JoinToken, parseJoinToken } from '../../core/identity/join-token.ts';
import { Problem } from '../../core/problems/problem.ts';

/** How a service that has no certificate yet proves that it may have one. Needed until the first certificate only. */
export type JoinSource =
  /** A file with the join token that the operator made for this data plane. */
  | { readonly tokenFile: string }
  /** The join token itself; a file or the environment of a secret store is where it should come from. */
  | { readonly token: string };

/** @throws input-invalid, token-refused */
export async function readJoinToken(source: JoinSource): Promise<JoinToken> {
  return parseJoinToken('token' in source ? source.token : await readText(source.tokenFile));
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new Problem('input-invalid', `Cannot read join token: ${file}, expected a readable file`, { cause });
  }
}
