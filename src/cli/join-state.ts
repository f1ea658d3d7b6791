import { text } from 'node:stream/consumers';
import { readFile } from 'node:fs/promises';
import { parseJoinToken } from '../core/identity/join-token.ts';
import { Problem } from '../core/problems/problem.ts';
import { joinControlPlane } from '../dataplane/link/join-control-plane.ts';
import { systemClock } from '../platform/clock/clock.ts';
import { openStateDirectory, type StateDirectory } from '../platform/keystore/state-directory.ts';
import type { Log } from '../platform/log/logger.ts';
import { type HostPort, parseHostPort } from '../platform/network/host-port.ts';
import { type Invocation, neededOption, textOption, UsageError } from './command.ts';

/** Opens the state directory of a data plane and joins by token where it has no certificate yet. */
export async function openJoinedState(
  invocation: Invocation,
  log: Log,
): Promise<{ readonly state: StateDirectory; readonly control: HostPort }> {
  const control = parseHostPort(neededOption(invocation, 'control'));
  const state = await openStateDirectory(neededOption(invocation, 'state'));
  if ((await state.readIdentity()) !== null) return { state, control };
  const file = textOption(invocation, 'joinTokenFile');
  if (file === undefined) throw new UsageError('--join-token-file is missing, and the state directory holds no certificate yet');
  const token = parseJoinToken(await readToken(file));
  const identity = await joinControlPlane({ state, control, token, clock: systemClock });
  log('info', 'joined', { spiffeId: identity.spiffeId, proxyId: identity.proxyId });
  return { state, control };
}

async function readToken(file: string): Promise<string> {
  if (file === '-') return text(process.stdin);
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new Problem('input-invalid', `Cannot read join token: ${file}, expected a readable file`, { cause });
  }
}
