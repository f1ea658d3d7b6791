import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type AcmeCloud, stateDirectoryOf } from './acme-cloud.ts';
import type { RunningProcess } from './process-group.ts';
import type { Replica } from './replica.ts';
import { type Run, waitFor } from './run.ts';
import { findSabotage } from './sabotage.ts';

/** Starts what stands beside the Envoy of a replica: it joins, holds the key, and writes the file that Envoy is started with. */
export function startCompanion({ plane, cloud }: Run, replica: Replica, tokenFile: string): RunningProcess {
  const places = placesOf(cloud, replica);
  const args = ['--control', plane.dataPlaneAddress, '--state', stateDirectoryOf(cloud, replica.name), '--join-token-file', tokenFile];
  const envoy = ['--envoy-sds', `unix:${places.sds}`, '--envoy-admin', `unix:${places.admin}`, '--envoy-bootstrap', places.bootstrap];
  return plane.startDataPlane(`proxy-${replica.name}`, ['proxy', ...args, ...envoy]);
}

/** Starts the Envoy of a replica as an operator does. Its ports are its own: nobody hands it sockets. */
export async function startEnvoy({ cloud, flags }: Run, replica: Replica): Promise<RunningProcess> {
  const { bootstrap } = placesOf(cloud, replica);
  await waitFor(`the bootstrap of ${replica.name}`, BOOTSTRAP_TIMEOUT_MS, async () => (existsSync(bootstrap) ? true : null), 20);
  for (const { socket } of replica.egress.values()) socket.close();
  const drain = (flags.sabotage === null ? null : findSabotage(flags.sabotage).envoyDrain) ?? DRAIN;
  const args = ['-c', bootstrap, '--disable-hot-restart', '--concurrency', '1', '-l', 'warn', ...drain];
  return cloud.group.start(`envoy-${replica.name}`, { program: envoyProgram, args });
}

/** A reason why there can be no Envoys, or null. */
export function missingEnvoy(): string | null {
  return existsSync(envoyProgram) ? null : `there is no Envoy at ${envoyProgram} (npm run peers)`;
}

/** Of Unix sockets paths may have 103 octets. */
function placesOf(cloud: AcmeCloud, { name }: Replica) {
  const of = (suffix: string): string => join(cloud.socketDirectory, `${name}.${suffix}`);
  return { sds: of('sds'), admin: of('admin'), bootstrap: join(cloud.directory, 'state', `${name}-envoy.json`) };
}

/** From PyPI, as tests have it. */
const envoyProgram = process.env['COUNTERSIGN_ENVOY'] ?? join(import.meta.dirname, '../.test/peers/envoy/bin/envoy');
/** Connections of a weaker mode are closed then. */
const DRAIN = ['--drain-time-s', '1', '--drain-strategy', 'immediate'];
const BOOTSTRAP_TIMEOUT_MS = 30_000;
