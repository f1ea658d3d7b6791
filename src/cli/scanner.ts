import { runScanner } from '../dataplane/scanner/run-scanner.ts';
import { systemClock } from '../platform/clock/clock.ts';
import { openLog } from '../platform/log/logger.ts';
import { parseAddressPolicy } from '../platform/network/address-policy.ts';
import { type Run, textOption } from './command.ts';
import { openJoinedState } from './join-state.ts';
import { untilSignal } from './until-signal.ts';

/** `countersign scanner`: runs until it is told to stop. */
export const run: Run = async (invocation) => {
  const log = openLog('scanner', 'info');
  const stopped = untilSignal();
  const policy = parseAddressPolicy((textOption(invocation, 'allow') ?? '127.0.0.0/8').split(','));
  await using _scanner = await runScanner({ ...(await openJoinedState(invocation, log)), clock: systemClock, log, policy });
  log('info', 'scanner runs', {});
  await stopped;
  return 'ok';
};
