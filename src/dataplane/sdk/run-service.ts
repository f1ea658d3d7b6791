import { Problem } from '../../core/problems/problem.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { StateDirectory } from '../../platform/keystore/state-directory.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import { type Link, openLink } from '../link/open-link.ts';
import { openSeenKeys } from '../link/seen-keys-keeper.ts';
import type { TelemetryContent } from '../link/telemetry-buffer.ts';
import { handlersOf } from '../tls/plane-handlers.ts';
import { Plane } from '../tls/plane.ts';
import { defaultLimits } from '../tls/port-deps.ts';
import { parseServiceSettings } from '../tls/proxy-settings.ts';
import { restoreStaple } from '../tls/restore-staple.ts';
import { watchClientCertificates } from '../tls/watch-client-certificates.ts';
import { ServicePorts } from './service-ports.ts';

export type RunServiceOptions = {
  readonly control: HostPort;
  readonly state: StateDirectory;
  readonly identity: StoredIdentity;
  /** Folder of certificates for third parties, or null. */
  readonly clientCertificates: string | null;
  readonly readyWithinMs: number;
  readonly clock: Clock;
  readonly log: Log;
};

/** The data plane in this process, under its last good settings or the control plane's. */
export type RunningService = {
  readonly plane: Plane;
  readonly ports: ServicePorts;
  readonly link: Link;
  stop(withinMs: number): Promise<void>;
};

/**
 * Serves its last good settings at once, and then follows the control plane; without any it waits for the first.
 * @throws state-corrupt; control-plane-unreachable if no settings came in time
 */
export async function runService(options: RunServiceOptions): Promise<RunningService> {
  const { control, state, identity, clientCertificates, clock, log } = options;
  let ports!: ServicePorts;
  const seen = await openSeenKeys(state, log);
  const plane: Plane = new Plane({
    identity,
    clock,
    log,
    limits: defaultLimits,
    seen,
    parse: parseServiceSettings,
    makePorts: (deps) => (ports = new ServicePorts(deps)),
  });
  const certificates =
    clientCertificates === null
      ? null
      : await watchClientCertificates(clientCertificates, (held) => plane.applyClientCertificates(held), log);
  const ready = Promise.withResolvers<void>();
  // It is awaited below; a refusal may come before that.
  ready.promise.catch(ignore);
  if (await restore(plane, state, log)) ready.resolve();
  const link = await openLink({
    state,
    control,
    clock,
    log,
    handlers: {
      ...handlersOf(plane),
      onSettings: async (settings) => {
        const answer = await plane.applySettings(settings);
        if (answer.kind === 'accepted') ready.resolve();
        else ready.reject(new Problem('state-conflict', `Cannot use settings of the control plane: ${answer.reason}`));
        return answer;
      },
    },
  });
  const reports = reportOften(plane, ports, link);
  const stop = async (withinMs: number): Promise<void> => {
    certificates?.[Symbol.dispose]();
    await plane.stop(withinMs);
    reports.end();
    await seen.stop();
    await link[Symbol.asyncDispose]();
  };
  try {
    await within(options.readyWithinMs, ready.promise, link);
  } catch (error) {
    await stop(0);
    throw error;
  }
  return { plane, ports, link, stop };
}

/** Runs what was in force before the restart; the control plane is not asked. True if there were settings that run. */
async function restore(plane: Plane, state: StateDirectory, log: Log): Promise<boolean> {
  const [bundle, revoked, settings] = [await state.readTrustBundle(), await state.readRevokedSet(), await state.readSettings()];
  if (bundle !== null) await plane.applyTrustBundle(bundle);
  await plane.applyFederatedBundles((await state.readFederatedBundles()) ?? []);
  if (revoked !== null) plane.applyRevokedSet(revoked);
  await restoreStaple(plane, state);
  if (settings === null) return false;
  const answer = await plane.applySettings(settings, { isLastGood: true });
  if (answer.kind === 'refused') log('error', 'last good settings do not run', { reason: answer.reason });
  return answer.kind === 'accepted';
}

/** The timer keeps no process alive whose work is done. */
function reportOften(plane: Plane, ports: ServicePorts, link: Link): { readonly end: () => void } {
  const report = (): void => link.report(whatIsServed(plane.takeReport(), ports));
  let timer: NodeJS.Timeout;
  const again = (): void => {
    timer = setTimeout(() => {
      report();
      again();
    }, plane.telemetryIntervalMs).unref();
  };
  again();
  return {
    end() {
      clearTimeout(timer);
      report();
    },
  };
}

/** A certificate is served by an endpoint only where the service listens: nobody else would see it. */
function whatIsServed(content: TelemetryContent, ports: ServicePorts): TelemetryContent {
  return { ...content, served: (content.served ?? []).filter(({ endpointId }) => ports.serves(endpointId)) };
}

function ignore(): void {}

async function within(milliseconds: number, ready: Promise<void>, link: Link): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    const { status } = link;
    const detail = status.kind === 'offline' ? status.detail : 'no settings came, expected a declared data plane';
    late.reject(new Problem('control-plane-unreachable', `Cannot start within ${milliseconds} ms: ${detail}`));
  }, milliseconds);
  try {
    await Promise.race([ready, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
