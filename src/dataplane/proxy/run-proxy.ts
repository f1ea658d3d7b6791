import { readFile } from 'node:fs/promises';
import type { JoinToken } from '../../core/identity/join-token.ts';
import { Problem } from '../../core/problems/problem.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { decodePem } from '../../core/x509/pem.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import { pause } from '../../platform/clock/pause.ts';
import type { StateDirectory } from '../../platform/keystore/state-directory.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import { openWorkerPool } from '../workers/worker-pool.ts';
import { joinControlPlane } from '../link/join-control-plane.ts';
import { type Link, openLink } from '../link/open-link.ts';
import { openSeenKeys } from '../link/seen-keys-keeper.ts';
import { type EnvoyPlaces, openEnvoyPlane } from '../envoy/open-envoy-plane.ts';
import { NativeProxy } from './native-proxy.ts';
import { handlersOf } from '../tls/plane-handlers.ts';
import { restoreStaple } from '../tls/restore-staple.ts';
import { watchClientCertificates } from '../tls/watch-client-certificates.ts';
import { inheritedSockets } from './socket-activation.ts';
import { ReportCadence } from './report-cadence.ts';
import type { TrafficPlane } from './traffic-plane.ts';

export type RunProxyOptions = {
  readonly control: HostPort;
  readonly state: StateDirectory;
  /** Needed only until the first certificate; null afterwards. */
  readonly joinToken: JoinToken | null;
  /** PEM of anchors that servers on mutual TLS must chain to, in place of the delivered bundle. Read again when it changes. */
  readonly upstreamTrustFile: string | null;
  /** Folder of certificates for third parties (`NAME.pem`), or null. */
  readonly clientCertificates?: string | null;
  readonly clock: Clock;
  readonly log: Log;
  /** Processes that carry the traffic; 1 if not given: this one does it itself. */
  readonly workers?: number;
  /** An Envoy carries the traffic, and this process is its companion; null: we carry it ourselves. */
  readonly envoy?: EnvoyPlaces | null;
  /** The environment, for LISTEN_FDS. */
  readonly env?: { readonly [name: string]: string | undefined };
};

export type RunningProxy = {
  readonly link: Link;
  /** Lets open connections end gracefully, cuts what is left after this time, sends the last report. */
  stop(withinMs?: number): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

/**
 * Runs a gateway, sidecar or bridge: joins if it never did, serves its last good settings at once, and then follows the control plane.
 * @throws state-conflict without an identity and a token; what joining throws; state-corrupt
 */
export async function runProxy(options: RunProxyOptions): Promise<RunningProxy> {
  const {
    control,
    state,
    clock,
    log,
    upstreamTrustFile,
    clientCertificates = null,
    workers = 1,
    envoy = null,
    env = process.env,
  } = options;
  const identity = await identityOf(options);
  const seen = await openSeenKeys(state, log);
  const carrying = { identity, clock, log, seen, inherited: inheritedSockets(env, process.pid, process.ppid) };
  const beside = envoy === null ? null : await openEnvoyPlane({ places: envoy, identity, control, clock, log });
  const traffic: TrafficPlane = beside ?? (workers === 1 ? new NativeProxy(carrying) : await openWorkerPool({ ...carrying, workers }));
  const watch = upstreamTrustFile === null ? null : await watchServerAnchors(upstreamTrustFile, traffic, log);
  const certificates =
    clientCertificates === null
      ? null
      : await watchClientCertificates(clientCertificates, (held) => traffic.applyClientCertificates(held), log);
  await restore(traffic, state, log);
  const link = await openLink({
    state,
    control,
    clock,
    log,
    handlers: handlersOf(traffic),
  });
  if (beside !== null) beside.onAskAgain = () => link.askAgain();
  const reports = reportEvery(traffic, { link, clock });
  let stopping: Promise<void> | null = null;
  const stop = async (withinMs: number): Promise<void> => {
    clearInterval(watch ?? undefined);
    certificates?.[Symbol.dispose]();
    await traffic.stop(withinMs);
    await reports.stop();
    await beside?.[Symbol.asyncDispose]();
    await seen.stop();
    await link[Symbol.asyncDispose]();
  };
  const stopOnce = (withinMs = STOP_WITHIN_MS): Promise<void> => (stopping ??= stop(withinMs));
  return { link, stop: stopOnce, [Symbol.asyncDispose]: () => stopOnce() };
}

/** Hands what was measured to the link, window after window; the last one when it is stopped. */
function reportEvery(traffic: TrafficPlane, { link, clock }: { readonly link: Link; readonly clock: Clock }): { stop(): Promise<void> } {
  const stopped = new AbortController();
  const cadence = new ReportCadence(clock, Math.random());
  const report = async (): Promise<void> => link.report(await traffic.takeReport());
  const run = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      await pause(cadence.nextIn(traffic.telemetryIntervalMs), stopped.signal);
      await report();
    }
  };
  const done = run();
  return {
    stop() {
      stopped.abort();
      return done;
    },
  };
}

async function identityOf({ state, control, joinToken, clock }: RunProxyOptions): Promise<StoredIdentity> {
  const known = await state.readIdentity();
  if (known !== null) return known;
  if (joinToken === null) throw new Problem('state-conflict', `Cannot start: ${state.path} holds no identity, expected a join token`);
  return joinControlPlane({ state, control, token: joinToken, clock });
}

/** Runs what was in force before the restart; the control plane is not asked. */
async function restore(traffic: TrafficPlane, state: StateDirectory, log: Log): Promise<void> {
  const [bundle, revoked, settings] = [await state.readTrustBundle(), await state.readRevokedSet(), await state.readSettings()];
  if (bundle !== null) await traffic.applyTrustBundle(bundle);
  await traffic.applyFederatedBundles((await state.readFederatedBundles()) ?? []);
  if (revoked !== null) await traffic.applyRevokedSet(revoked);
  await restoreStaple(traffic, state);
  if (settings === null) return;
  const answer = await traffic.applySettings(settings, { isLastGood: true });
  if (answer.kind === 'refused') log('error', 'last good settings do not run', { reason: answer.reason });
}

/** Puts the file in force now, and again whenever its content changes. @throws input-invalid if it cannot be used now */
async function watchServerAnchors(file: string, traffic: TrafficPlane, log: Log): Promise<NodeJS.Timeout> {
  let current = '';
  const load = async (): Promise<void> => {
    const text = await readFile(file, 'utf8');
    if (text === current) return;
    await traffic.applyServerAnchors(decodePem(text, 'CERTIFICATE').map((der) => parseCertificate(der)));
    current = text;
    log('info', 'upstream trust in force', { file });
  };
  try {
    await load();
  } catch (error) {
    throw new Problem('input-invalid', `Cannot use upstream trust file ${file}: ${(error as Error).message}`, { cause: error });
  }
  const reload = (): void => void load().catch((error: Error) => log('warn', 'upstream trust not changed', { file, error: error.message }));
  return setInterval(reload, REREAD_MS).unref();
}

/** Longer than callers of ours keep an idle connection, so that nearly all of them have closed theirs by then. */
const STOP_WITHIN_MS = 8_000;
const REREAD_MS = 1_000;
