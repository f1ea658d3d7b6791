import { RefusalLog } from '../control/access/refusal-log.ts';
import type { Authorities } from '../control/ca/authorities.ts';
import { type CmpSigner, isCmpSignerOld, issueCmpSigner } from '../control/ca/issue-cmp-signer.ts';
import { ensureStoredSecret } from '../control/ca/stored-secret.ts';
import type { Secret } from '../core/secrets/secret.ts';
import { MINUTE_MS, SECOND_MS } from '../core/time/instant.ts';
import type { Clock } from '../platform/clock/clock.ts';
import type { CmpConfig } from '../platform/config/cmp-config.ts';
import type { ServerConfig } from '../platform/config/server-config.ts';
import type { Log } from '../platform/log/logger.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import type { HttpListener } from '../platform/network/open-http-listener.ts';
import { startCmpServer } from '../protocols/cmp/cmp-server.ts';
import { pruneCmp, reconcileCmp } from '../protocols/cmp/reconcile.ts';
import { SeenMessages } from '../protocols/cmp/seen-messages.ts';
import type { State } from './open-state.ts';
import { runReconciler } from './run-reconciler.ts';
import type { Signals } from './signals.ts';

export type CmpOptions = {
  readonly config: Pick<ServerConfig, 'environment' | 'region'>;
  readonly cmp: CmpConfig;
  readonly state: State;
  readonly authorities: Authorities;
  /** What all shared secrets are derived from. */
  readonly root: Secret<Uint8Array>;
  readonly signals: Signals;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

/** Serves CMP, with a signer of its own that is renewed in time. */
export async function serveCmp(options: CmpOptions): Promise<HttpListener> {
  const { config, cmp, state, authorities, root, signals, clock, log, metrics } = options;
  const { database } = state;
  await using stack = new AsyncDisposableStack();
  let signer: CmpSigner = await issueCmpSigner({ database, authorities }, clock.now());
  const renew = async (): Promise<void> => {
    if (isCmpSignerOld(signer, clock.now())) signer = await issueCmpSigner({ database, authorities }, clock.now());
  };
  const deps = {
    database,
    authorities,
    authorityChanged: signals.authorities,
    root,
    signer: () => signer,
    confirmWithinMs: cmp.confirmWithinMs,
    seen: new SeenMessages(),
    refusals: new RefusalLog({ database, place: { environment: config.environment, region: config.region } }),
    log,
  };
  const server = stack.use(await startCmpServer({ listen: cmp.listen, deps, clock, log, metrics }));
  stack.use(runReconciler({ name: 'cmp-signer', run: renew, wakes: [], intervalMs: MINUTE_MS }, { log, metrics }));
  const reconcile = { name: 'cmp', run: () => reconcileCmp(deps, clock.now()), wakes: [], intervalMs: 5 * SECOND_MS };
  const prune = { name: 'cmp-prune', run: () => pruneCmp(deps, clock.now()), wakes: [], intervalMs: MINUTE_MS };
  for (const work of [reconcile, prune]) stack.use(runReconciler(work, { log, metrics }));
  const running = stack.move();
  return { port: server.port, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

/** The secret that shared secrets of devices are derived from. @throws key-locked */
export function ensureCmpRoot(
  state: Pick<State, 'database' | 'kek'>,
  { environment, region }: { readonly environment: string; readonly region: string },
  clock: Clock,
): Promise<Secret<Uint8Array>> {
  return ensureStoredSecret(state, { ownerId: 'cmp', purpose: 'cmp' }, { environment, region }, clock.now());
}
