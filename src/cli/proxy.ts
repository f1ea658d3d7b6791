import { runProxy } from '../dataplane/proxy/run-proxy.ts';
import { systemClock } from '../platform/clock/clock.ts';
import { openLog } from '../platform/log/logger.ts';
import { type Run, textOption } from './command.ts';
import { envoyPlacesOf } from './envoy-places.ts';
import { openJoinedState } from './join-state.ts';
import { untilSignal } from './until-signal.ts';
import { workerCountOf } from './worker-count.ts';

/** `countersign proxy`: runs until it is told to stop, then lets open connections end. */
export const run: Run = async (invocation) => {
  const log = openLog('proxy', 'info');
  const stopped = untilSignal();
  const workers = workerCountOf(textOption(invocation, 'workers') ?? '1');
  const envoy = envoyPlacesOf(invocation);
  const joined = await openJoinedState(invocation, log);
  const upstreamTrustFile = textOption(invocation, 'upstreamTrustFile') ?? null;
  const clientCertificates = textOption(invocation, 'clientCertificates') ?? null;
  await using proxy = await runProxy({
    ...joined,
    joinToken: null,
    upstreamTrustFile,
    clientCertificates,
    workers,
    envoy,
    clock: systemClock,
    log,
  });
  log('info', 'proxy runs', {});
  await stopped;
  await proxy.stop();
  return 'ok';
};
