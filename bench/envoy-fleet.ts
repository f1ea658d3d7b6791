import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { takePorts } from '../demo/ports.ts';
import { issueCertificate } from '../src/control/ca/issue-certificate.ts';
import { registerProxy } from '../src/control/fleet/register-proxy.ts';
import { setPathModes } from '../src/control/fleet/set-path-modes.ts';
import { applyDeclaration } from '../src/control/inventory/apply-declaration.ts';
import { parseDeclaration } from '../src/control/inventory/parse-declaration.ts';
import { listDeclaredProxies, listPaths } from '../src/control/inventory/store.ts';
import { controlPlaneSpiffeId, type SpiffeId } from '../src/core/identity/spiffe-id.ts';
import type { EntityId } from '../src/core/ids/entity-id.ts';
import { profileForJoin } from '../src/core/issuance/profile.ts';
import type { Certificate } from '../src/core/x509/certificate.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../src/core/x509/certificate-request.ts';
import { encodePem } from '../src/core/x509/pem.ts';
import { openCompanionServer } from '../src/dataplane/envoy/companion-server.ts';
import { putControlPlane, putIdentity, putTicketKeys } from '../src/dataplane/envoy/companion-secrets.ts';
import { HeldSecrets } from '../src/dataplane/envoy/held-secrets.ts';
import { makeBootstrap } from '../src/dataplane/envoy/make-bootstrap.ts';
import { openCredential } from '../src/dataplane/tls/credential.ts';
import { makeTicketKeys } from '../src/dataplane/tls/ticket-keys.ts';
import { trustOf } from '../src/dataplane/tls/trust.ts';
import { systemClock } from '../src/platform/clock/clock.ts';
import { makeSignal } from '../src/platform/clock/signal.ts';
import { readServerConfig } from '../src/platform/config/server-config.ts';
import { dataPlaneAsker } from '../src/protocols/enrollment/data-plane-asker.ts';
import { openOrMakeAuthorities, openState } from '../src/server/open-state.ts';
import { startEnvoy } from '../test/support/envoy-process.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

type Identity = {
  readonly proxyId: EntityId<'proxy'>;
  readonly spiffeId: SpiffeId;
  readonly privateKey: KeyObject;
  readonly chain: readonly Uint8Array[];
};

/** A control plane as it is run, and one Envoy that it drives, in front of a service that answers. All endpoints are enforced. */
export type EnvoyFleet = AsyncDisposable & {
  readonly control: ControlPlane;
  /** Of the first endpoint. */
  readonly port: number;
  /** What the one caller that is allowed shows. */
  readonly caller: ConnectionOptions;
  readonly callerSerialHex: string;
  /** Gives Envoy other certificates of the same identity, one after another. */
  readonly rotations: readonly (() => void)[];
  admin(path: string): Promise<string>;
  until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void>;
};

export async function openEnvoyFleet({
  endpoints,
  rotations = 0,
}: {
  readonly endpoints: number;
  readonly rotations?: number;
}): Promise<EnvoyFleet> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'countersign-bench-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const origin = createServer((_request, response) => response.end('served'));
  await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve));
  stack.defer(() => {
    origin.closeAllConnections();
    origin.close();
  });
  // Below those of outgoing connections, of which this axis makes hundreds.
  const row = takePorts(endpoints);
  for (const socket of row.sockets) socket.close();
  const ports = Array.from({ length: endpoints }, (_, at) => row.first + at);
  let seeded: Awaited<ReturnType<typeof seed>> | null = null;
  const plan = { ports, upstream: (origin.address() as AddressInfo).port, rotations };
  const control = await startControlPlane(folder, { whenMade: async (_database, config) => void (seeded = await seed(config, plan)) });
  stack.defer(() => control.stop());
  const { own, caller, root } = seeded!;
  const secrets = new HeldSecrets();
  const paths = { companionPath: join(folder, 'sds.sock'), adminPath: join(folder, 'admin.sock') };
  stack.use(await openCompanionServer({ path: paths.companionPath, secrets, onAccessLogs() {}, log: () => {} }));
  const [first, ...later] = own;
  const put = (identity: Identity): void => void putIdentity(secrets, openCredential(identity), null);
  put(first!);
  putTicketKeys(secrets, makeTicketKeys());
  const { spiffeId, proxyId } = first!;
  putControlPlane(secrets, trustOf('bench.example' as never, [root], []), controlPlaneSpiffeId('bench.example' as never, 'production'));
  const bootstrap = join(folder, 'envoy.json');
  const listener = { host: '127.0.0.1', port: control.dataPlanePort };
  await writeFile(bootstrap, JSON.stringify(makeBootstrap({ proxyId, spiffeId, control: listener, ...paths })));
  const envoy = stack.use(startEnvoy(bootstrap));
  const until = async (what: string, isSo: () => boolean | Promise<boolean>): Promise<void> => {
    for (const deadline = performance.now() + PATIENCE_MS; !(await isSo()); await new Promise((resolve) => setTimeout(resolve, 10)))
      if (performance.now() > deadline) throw new Error(`gave up waiting until ${what}\n${envoy.said().slice(-2_000)}`);
  };
  const running = stack.move();
  return {
    control,
    port: ports[0]!,
    caller: { cert: pemOf(caller.chain), key: caller.privateKey.export({ type: 'pkcs8', format: 'pem' }) },
    callerSerialHex: caller.serialHex,
    rotations: later.map((identity) => () => put(identity)),
    admin: (path) => ask(paths.adminPath, path),
    until,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function seed(
  configFile: string,
  plan: { readonly ports: readonly number[]; readonly upstream: number; readonly rotations: number },
) {
  const config = readServerConfig(configFile);
  const clock = systemClock;
  await using state = await openState({ config, clock });
  const { database } = state;
  const authorities = await openOrMakeAuthorities(state, config, clock);
  const { trustDomain, environment, region } = config;
  const place = { trustDomain, environment, region };
  const actor = { kind: 'person', name: 'bench' } as const;
  await applyDeclaration({ database, place, changed: makeSignal() }, parseDeclaration(documents(plan)), actor, clock.now());
  const paths = await listPaths(database.queries, '*');
  const modes = paths.map(({ id }) => ({ pathId: id, receiverMode: 'enforce', origination: 'mtls' }) as const);
  await database.commit((unit) => setPathModes(unit, modes, clock.now()));
  const proxies = new Map((await listDeclaredProxies(database.queries, '*')).map((proxy) => [proxy.name, proxy]));
  const issue = async (name: string): Promise<Identity & { readonly serialHex: string }> => {
    const { id: proxyId, spiffeId, role } = proxies.get(name)!;
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const csr = parseCertificateRequest(buildCertificateRequest({ uris: [spiffeId], dnsNames: [], ipAddresses: [] }, privateKey));
    const registered = { proxyId, proxyName: name, spiffeId, role, environment, region, version: 'bench', capabilities: [] };
    const issued = await issueCertificate(
      { database, authorities },
      {
        door: 'join',
        profile: profileForJoin('data-plane'),
        ...dataPlaneAsker(spiffeId, environment, 'data-plane'),
        csr,
        spiffeId,
        names: { dns: [], ip: [] },
        proxyId,
        environment,
        region,
        claim: (unit) => registerProxy(unit, registered, clock.now()),
      },
      clock.now(),
    );
    return { proxyId, spiffeId, privateKey, chain: issued.chain, serialHex: issued.serialHex };
  };
  const own: Identity[] = [];
  for (let at = 0; at <= plan.rotations; at++) own.push(await issue('api-0'));
  const [root] = authorities.roots as readonly Certificate[];
  return { own, caller: await issue('web-0'), root: root! };
}

function head(kind: string, name: string, rest: string): string {
  return `apiVersion: countersign/v1\nkind: ${kind}\nname: ${name}\n${rest}`;
}

function documents({ ports, upstream }: { readonly ports: readonly number[]; readonly upstream: number }): string {
  const endpoints = ports.map((port, at) =>
    head('Endpoint', `api-${at}`, `service: api\nprotocol: http\naddresses: ["127.0.0.1:${port}"]\nowner: bench\nallowedCallers: [web]\n`),
  );
  const inbound = ports.map((port, at) => `  - { endpoint: api-${at}, listen: "127.0.0.1:${port}", upstream: "127.0.0.1:${upstream}" }\n`);
  return [
    ...['web', 'api'].map((name) => head('Service', name, 'owner: bench\n')),
    ...endpoints,
    head('Proxy', 'api-0', `service: api\nrole: sidecar\nplane: envoy\ninbound:\n${inbound.join('')}`),
    head('Proxy', 'web-0', 'service: web\nrole: sidecar\n'),
  ].join('---\n');
}

function pemOf(chain: readonly Uint8Array[]): string {
  return chain.map((der) => encodePem('CERTIFICATE', der)).join('');
}

function ask(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve(text));
    });
    asked.on('error', reject);
    asked.end();
  });
}

const PATIENCE_MS = 60_000;
