import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../../platform/clock/clock.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import { adminClient } from './admin-client.ts';
import { openCompanionServer } from './companion-server.ts';
import type { EnvoyLimits } from './config-keeper.ts';
import { EnvoyPlane } from './envoy-plane.ts';
import { HeldSecrets } from './held-secrets.ts';
import { makeBootstrap } from './make-bootstrap.ts';

/** Where the companion and its Envoy meet; all absolute. */
export type EnvoyPlaces = {
  /** Unix socket of the companion: SDS and access logs. */
  readonly sdsPath: string;
  /** Unix socket that Envoy makes for its admin. */
  readonly adminPath: string;
  /** The bootstrap is written here; null: it is not. */
  readonly bootstrapFile: string | null;
  readonly limits?: EnvoyLimits;
};

export type OpenEnvoyPlaneOptions = {
  readonly places: EnvoyPlaces;
  readonly identity: StoredIdentity;
  readonly control: HostPort;
  readonly clock: Clock;
  readonly log: Log;
};

/** The plane of a proxy whose traffic an Envoy carries, and the socket that Envoy connects to. @throws state-permissions, state-conflict */
export async function openEnvoyPlane({
  places,
  identity,
  control,
  clock,
  log,
}: OpenEnvoyPlaneOptions): Promise<EnvoyPlane & AsyncDisposable> {
  const secrets = new HeldSecrets();
  const { limits } = places;
  const plane = new EnvoyPlane({
    identity,
    secrets,
    admin: adminClient(places.adminPath),
    clock,
    log,
    ...(limits === undefined ? {} : { limits }),
  });
  const server = await openCompanionServer({
    path: places.sdsPath,
    secrets,
    onAccessLogs: (message) => plane.takeAccessLogs(message),
    onLeft: () => plane.envoyWentAway(),
    log,
  });
  if (places.bootstrapFile !== null) {
    const { proxyId, spiffeId } = identity;
    const bootstrap = makeBootstrap({ proxyId, spiffeId, control, companionPath: places.sdsPath, adminPath: places.adminPath });
    await writeWhole(places.bootstrapFile, `${JSON.stringify(bootstrap, null, 2)}\n`);
    log('info', 'bootstrap of envoy written', { file: places.bootstrapFile });
  }
  return Object.assign(plane, { [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() });
}

/** There is no secret in it, but whoever can change it decides what Envoy does. */
async function writeWhole(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeFile(`${file}.new`, text, { mode: 0o600 });
  await rename(`${file}.new`, file);
}
