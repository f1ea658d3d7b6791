import { startServer } from '../server.ts';
import { systemClock } from '../platform/clock/clock.ts';
import { readServerConfig } from '../platform/config/server-config.ts';
import { openLog } from '../platform/log/logger.ts';
import { formatHostPort } from '../platform/network/host-port.ts';
import { neededOption, type Run, UsageError } from './command.ts';
import { untilSignal } from './until-signal.ts';

/** `countersign server`: runs the control plane until it is told to stop. */
export const run: Run = async (invocation) => {
  const read = readServerConfig(neededOption(invocation, 'config'));
  const chaotic = invocation.options['acmeChaos'] === true;
  if (chaotic && read.acme === null) throw new UsageError('--acme-chaos without listen.acme in the configuration');
  const config = chaotic && read.acme !== null ? { ...read, acme: { ...read.acme, chaos: true } } : read;
  const log = openLog('server', config.logLevel);
  const stopped = untilSignal();
  await using server = await startServer({ config, log, clock: systemClock });
  log('info', 'server listens', {
    admin: formatHostPort(server.addresses.admin),
    dataPlane: formatHostPort(server.addresses.dataPlane),
    public: formatHostPort(server.addresses.public),
    ...(server.addresses.acme === null ? {} : { acme: formatHostPort(server.addresses.acme) }),
    ...(server.addresses.cmp === null ? {} : { cmp: formatHostPort(server.addresses.cmp) }),
  });
  if (server.bootstrapFile !== null)
    log('info', 'first start: exchange the bootstrap token within one hour', { file: server.bootstrapFile });
  await stopped;
  log('info', 'server stops', {});
  return 'ok';
};
