import { join } from 'node:path';
import { retireOld, routeToEnvoy, startReplica, stateDirectoryOf } from '../acme-cloud.ts';
import { mistrustingCaller } from '../fleet.ts';
import type { RunningProcess } from '../process-group.ts';
import { startCompanion, startEnvoy } from '../start-envoy.ts';
import { readProxies, writeJoinToken } from '../product-api.ts';
import type { Replica } from '../replica.ts';
import { type Run, waitFor } from '../run.ts';
import { trustFileOf, writeWrongTrustFile } from '../trust-file.ts';

const AT_ONCE = 4;
const JOIN_TIMEOUT_MS = 30_000;

/**
 * Gives every replica its sidecar while traffic flows. For each one: a new process of the service starts behind a Unix socket, the
 * sidecar takes over the listening socket, the new process makes its calls through the sidecar, and the old one ends by itself.
 */
export async function putInProxies(run: Run): Promise<void> {
  const { cloud, progress } = run;
  writeWrongTrustFile(cloud);
  const own = cloud.layout.replicas.filter(({ service }) => service.proxy !== 'none');
  for (const number of [1, 2]) {
    const waiting = own.filter((replica) => replica.number === number);
    const workers = Array.from({ length: AT_ONCE }, async () => {
      for (let replica = waiting.shift(); replica !== undefined; replica = waiting.shift()) {
        progress.tick(`sidecar of ${replica.name}`);
        await putInProxy(run, replica);
      }
    });
    await Promise.all(workers);
  }
  progress.note(`${own.length} sidecars and bridges`);
}

async function putInProxy(run: Run, replica: Replica): Promise<void> {
  const { plane, cloud, dataPlanes } = run;
  const fresh = startReplica(cloud, replica, 'sidecar');
  const tokenFile = join(cloud.directory, 'state', `${replica.name}.token`);
  await writeJoinToken(plane, replica.name, tokenFile);
  await fresh.says('listening');
  dataPlanes.set(replica.name, startProxy(run, replica, tokenFile));
  if (replica.kind === 'envoy') dataPlanes.set(`${replica.name} envoy`, await startEnvoy(run, replica));
  await waitFor(`acknowledgement of ${replica.name}`, JOIN_TIMEOUT_MS, async () => {
    const proxies = await readProxies(plane);
    return proxies.some(({ name, isAcknowledged }) => name === replica.name && isAcknowledged) ? true : null;
  });
  await fresh.says('ready');
  if (replica.envoyPort !== null) await routeToEnvoy(cloud, replica);
  await retireOld(cloud, replica, fresh);
  // Its Envoy has a socket of its own.
  if (replica.kind === 'envoy') replica.inbound?.socket.close();
}

/** Starts the proxy of a replica, on the sockets that the replica has had from the beginning; beside an Envoy, its companion. */
export function startProxy(run: Run, replica: Replica, tokenFile: string): RunningProcess {
  const { plane, cloud } = run;
  if (replica.kind === 'envoy') return startCompanion(run, replica, tokenFile);
  const trust = replica.service.name === mistrustingCaller ? ['--upstream-trust-file', trustFileOf(cloud)] : [];
  const state = stateDirectoryOf(cloud, replica.name);
  const args = ['proxy', '--control', plane.dataPlaneAddress, '--state', state, '--join-token-file', tokenFile, ...trust];
  const held = [...(replica.inbound === null ? [] : [replica.inbound]), ...replica.egress.values()];
  return plane.startDataPlane(
    `proxy-${replica.name}`,
    args,
    held.map(({ socket }) => socket.fd()),
  );
}
