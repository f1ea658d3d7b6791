import { systemClock } from '../../platform/clock/clock.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import { lockFolder } from '../../platform/keystore/lock-folder.ts';
import { openStateDirectory, type StateDirectory } from '../../platform/keystore/state-directory.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { Log } from '../../platform/log/logger.ts';
import { type HostPort, parseHostPort } from '../../platform/network/host-port.ts';
import { Problem } from '../../core/problems/problem.ts';
import { joinControlPlane } from '../link/join-control-plane.ts';
import { Countersign } from './countersign.ts';
import { type JoinSource, readJoinSource } from './join-source.ts';
import { logToStderr } from './log-to-stderr.ts';
import { runService } from './run-service.ts';

export type OpenOptions = {
  /** `HOST:PORT` of the control plane's listener for data planes. */
  readonly control: string;
  /** Folder of mode 0700 in which the key, the certificate and the last good settings are kept; made if it is not there. One process has it. */
  readonly state: string;
  /** Needed until the folder holds a certificate. */
  readonly join?: JoinSource;
  /** Folder of mode 0700 with certificates and keys for third parties, `NAME.pem` for the server of that name, each of mode 0600. */
  readonly clientCertificates?: string;
  /** How long to wait for the first settings where the folder holds none, in milliseconds; 15 seconds if not given. */
  readonly readyWithinMs?: number;
  /** Told of every refusal and every change; JSON lines of warnings on stderr if not given. */
  readonly log?: Log;
  /** The time; the system's if not given. */
  readonly clock?: Clock;
};

/**
 * Makes this process a data plane of the service: joins where it never did, takes up its last good settings, and follows the control
 * plane. Resolves when settings are in force.
 * @throws Problem: state-conflict without a certificate and a way to join, or if another process has the folder; token-refused, issuance-refused, control-plane-unreachable,
 * control-plane-unverified, state-permissions, state-corrupt
 */
export async function open(options: OpenOptions): Promise<Countersign> {
  const { clock = systemClock, log = logToStderr, readyWithinMs = READY_WITHIN_MS, clientCertificates = null } = options;
  const control = parseHostPort(options.control);
  const state = await openStateDirectory(options.state);
  const release = lockFolder(state.path);
  try {
    const identity = await identityFor(state, control, { join: options.join ?? null, clock });
    const running = await runService({ control, state, identity, clientCertificates, readyWithinMs, clock, log });
    return new Countersign({ ...running, stop: (withinMs) => running.stop(withinMs).finally(release) });
  } catch (error) {
    release();
    throw error;
  }
}

async function identityFor(
  state: StateDirectory,
  control: HostPort,
  { join, clock }: { readonly join: JoinSource | null; readonly clock: Clock },
): Promise<StoredIdentity> {
  const known = await state.readIdentity();
  if (known !== null) return known;
  if (join === null) throw new Problem('state-conflict', `Cannot open: ${state.path} holds no certificate, expected a way to join`);
  return joinControlPlane({ state, control, token: await readJoinSource(join), clock });
}

/** A control plane answers a new data plane within a second or two. */
const READY_WITHIN_MS = 15_000;
