import { startServer } from '../server.ts';
import { systemClock } from '../platform/clock/clock.ts';
import { readServerConfig } from '../platform/config/server-config.ts';
import { openLog } from '../platform/log/logger.ts';
import { formatHostPort } from '../platform/network/host-port.ts';
import { neededOption, type Run } from './command.ts';
import { untilSignal } from './until-signal.ts';

/** `countersign server`: runs the control plane until it is told to stop. */
export const run: Run = async (invocation) => {
  const config = readServerConfig(neededOption(invocation, 'config'));
  const log = openLog('server', config.logLevel);
  const stopped = untilSignal();
  await using server = await startServer({ config, log, clock: systemClock });
  log('info', 'server listens', {
    admin: formatHostPort(server.addresses.admin),
    dataPlane: formatHostPort(server.addresses.dataPlane),
    public: formatHostPort(server.addresses.public),
  });
  if (server.bootstrapFile !== null)
    log('info', 'first start: exchange the bootstrap token within one hour', { file: server.bootstrapFile });
  await stopped;
  log('info', 'server stops', {});
  return 'ok';
};
