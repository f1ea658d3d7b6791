import { createHash } from 'node:crypto';
import { parseSpiffeId } from '../../src/core/identity/spiffe-id.ts';
import type { EntityId } from '../../src/core/ids/entity-id.ts';
import { Plane } from '../../src/core/messages/generated/countersign/v1/settings_pb.ts';
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE } from '../../src/core/messages/type-urls.ts';
import { openRpcConnection, type RpcConnection } from '../../src/dataplane/link/rpc-connection.ts';
import { newEntityId } from '../../src/platform/ids/new-entity-id.ts';
import type { EnvoyResources } from '../../src/core/envoy/compile-envoy.ts';
import type { ResourceFault } from '../../src/protocols/xds/envoy-snapshots.ts';
import { START, startTestControlPlane, type TestControlPlane, TRUST_DOMAIN } from './test-control-plane.ts';

export const types = {
  cluster: CLUSTER_TYPE,
  endpoint: ENDPOINT_TYPE,
  secret: SECRET_TYPE,
  listener: LISTENER_TYPE,
  route: ROUTE_TYPE,
} as const;
export type TypeWord = keyof typeof types;

/** What Envoys are to have: contents by `type name`, such as `cluster a`; behind a `#` stands a mark that ends connections. */
export type World = Map<`${TypeWord} ${string}`, string | Uint8Array>;

/** The real listener and the real streams over resources that a test writes down, for one proxy of the Envoy plane. */
export async function openEnvoyLab(options: { readonly plane?: Plane } = {}) {
  const world: World = new Map();
  const faults: ResourceFault[] = [];
  const compiled = { times: 0, isBroken: false };
  const compile = (): EnvoyResources => {
    if (compiled.isBroken) throw new Error('these settings cannot be compiled');
    compiled.times += 1;
    return {
      clusters: resourcesOf(world, 'cluster'),
      endpoints: resourcesOf(world, 'endpoint'),
      secrets: resourcesOf(world, 'secret'),
      listeners: resourcesOf(world, 'listener'),
      routes: resourcesOf(world, 'route'),
    };
  };
  const control: TestControlPlane = await startTestControlPlane({ envoy: { compile, preflight: () => faults } });
  const spiffeId = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/orders`);
  const newProxy = () => {
    const proxyId = newEntityId('proxy', START);
    return { proxyId, credential: control.enrol(spiffeId, proxyId) };
  };
  const { proxyId, credential } = newProxy();
  let generation = 0n;
  const publish = (to: EntityId<'proxy'> = proxyId): void => {
    generation += 1n;
    control.setSettings(to, spiffeId, generation, { plane: options.plane ?? Plane.ENVOY });
  };
  const connections: RpcConnection[] = [];
  return {
    control,
    world,
    faults,
    compiled,
    proxyId,
    spiffeId,
    credential,
    newProxy,
    /** Puts the world in force under the next generation. */
    publish,
    /** Puts the state back to this generation, as a restored copy would. */
    restore(to: bigint): void {
      generation = to;
      control.setSettings(proxyId, spiffeId, to, { plane: Plane.ENVOY });
    },
    async connect(from = credential): Promise<RpcConnection> {
      const connection = await openRpcConnection({
        control: control.control,
        certificate: { chain: from.chain, key: from.key },
        judge: () => {},
      });
      connections.push(connection);
      return connection;
    },
    async [Symbol.asyncDispose]() {
      for (const connection of connections) connection.destroy();
      await control[Symbol.asyncDispose]();
    },
  };
}

export type EnvoyLab = Awaited<ReturnType<typeof openEnvoyLab>>;

function resourcesOf(world: World, word: TypeWord): EnvoyResources['clusters'] {
  return [...world]
    .filter(([key]) => key.startsWith(`${word} `))
    .map(([key, content]) => {
      const octets = Buffer.from(content);
      const digest = createHash('sha256').update(octets).digest('hex').slice(0, 32);
      const [base = '', mark] = String(content).split('#');
      return { typeUrl: types[word], name: key.slice(word.length + 1), digest, octets, ...(mark === undefined ? {} : { base }) };
    });
}
