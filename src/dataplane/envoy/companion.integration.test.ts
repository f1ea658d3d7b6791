import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { describe, test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import { ApiConfigSource_ApiType, ApiVersion } from '../../core/messages/generated/envoy/config/core/v3/config_source_pb.ts';
import { ListenerSchema } from '../../core/messages/generated/envoy/config/listener/v3/listener_pb.ts';
import { RouterSchema } from '../../core/messages/generated/envoy/extensions/filters/http/router/v3/router_pb.ts';
import { HttpConnectionManagerSchema } from '../../core/messages/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { DownstreamTlsContextSchema } from '../../core/messages/generated/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts';
import { ManualClock } from '../../platform/clock/clock.ts';
import { type Credential, openCredential } from '../tls/credential.ts';
import { makeTicketKeys } from '../tls/ticket-keys.ts';
import { trustOf } from '../tls/trust.ts';
import { freePort } from '../../../test/support/free-port.ts';
import { startEnvoy, withoutEnvoy } from '../../../test/support/envoy-process.ts';
import { CONTROL_PLANE, startTestControlPlane, TRUST_DOMAIN } from '../../../test/support/test-control-plane.ts';
import { xdsShelf } from '../../../test/support/xds-shelf.ts';
import { openCompanionServer } from './companion-server.ts';
import { putControlPlane, putIdentity, putTicketKeys } from './companion-secrets.ts';
import { HeldSecrets, type SecretAnswer, secretNames } from './held-secrets.ts';
import { COMPANION_CLUSTER, makeBootstrap } from './make-bootstrap.ts';

const LISTENERS = 'type.googleapis.com/envoy.config.listener.v3.Listener';
const CLUSTERS = 'type.googleapis.com/envoy.config.cluster.v3.Cluster';

/** A companion and what it needs, with an Envoy beside it whose one listener answers by itself. */
async function openBeside(options: { readonly controlPlane?: SpiffeId } = {}) {
  const [listeners, clusters] = [xdsShelf(LISTENERS), xdsShelf(CLUSTERS)];
  const control = await startTestControlPlane({ clock: new ManualClock(Date.now()), sources: [clusters, listeners] });
  const { state, proxyId, spiffeId } = await control.joined('orders');
  const identity = (await state.readIdentity())!;
  const folder = await mkdtemp(join(tmpdir(), 'countersign-envoy-'));
  const companionPath = join(folder, 'sds.sock');
  const secrets = new HeldSecrets();
  const answers: SecretAnswer[] = [];
  secrets.onAnswer((answer) => answers.push(answer));
  const server = await openCompanionServer({ path: companionPath, secrets, onAccessLogs() {}, log: control.log });
  putIdentity(secrets, openCredential(identity), null);
  putTicketKeys(secrets, makeTicketKeys());
  putControlPlane(secrets, trustOf(TRUST_DOMAIN, [control.authority.root], []), options.controlPlane ?? CONTROL_PLANE);
  const port = await freePort();
  listeners.put([{ name: 'own', version: '1', octets: toBinary(ListenerSchema, ownListener(port)) }]);
  const bootstrap = join(folder, 'envoy.json');
  const paths = { companionPath, adminPath: join(folder, 'admin.sock') };
  await writeFile(bootstrap, JSON.stringify(makeBootstrap({ proxyId, spiffeId, control: control.control, ...paths })));
  const envoy = startEnvoy(bootstrap);
  return {
    control,
    secrets,
    answers,
    answerFor: (version: string) => until(version, () => answers.find((answer) => answer.version === version) ?? null),
    port,
    envoy,
    adminPath: paths.adminPath,
    spiffeId,
    /** A new certificate for the same proxy. */
    renew(): Credential {
      const { chain, key: privateKey } = control.enrol(spiffeId, proxyId);
      return openCredential({ spiffeId, chain, privateKey });
    },
    async [Symbol.asyncDispose]() {
      await envoy[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await control[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

function secret(name: string) {
  return {
    name,
    sdsConfig: {
      resourceApiVersion: ApiVersion.V3,
      configSourceSpecifier: {
        case: 'apiConfigSource' as const,
        value: {
          apiType: ApiConfigSource_ApiType.GRPC,
          transportApiVersion: ApiVersion.V3,
          grpcServices: [{ targetSpecifier: { case: 'envoyGrpc' as const, value: { clusterName: COMPANION_CLUSTER } } }],
        },
      },
    },
  };
}

function ownListener(port: number) {
  const tls = create(DownstreamTlsContextSchema, {
    commonTlsContext: { tlsCertificateSdsSecretConfigs: [secret(secretNames.identity)] },
    sessionTicketKeysType: { case: 'sessionTicketKeysSdsSecretConfig', value: secret(secretNames.ticketKeys) },
  });
  const http = create(HttpConnectionManagerSchema, {
    statPrefix: 'own',
    httpFilters: [{ name: 'router', configType: { case: 'typedConfig', value: anyPack(RouterSchema, create(RouterSchema)) } }],
    routeSpecifier: {
      case: 'routeConfig',
      value: {
        virtualHosts: [
          {
            name: 'own',
            domains: ['*'],
            routes: [
              {
                match: { pathSpecifier: { case: 'prefix', value: '/' } },
                action: { case: 'directResponse', value: { status: 200 } },
              },
            ],
          },
        ],
      },
    },
  });
  return create(ListenerSchema, {
    name: 'own',
    address: {
      address: { case: 'socketAddress', value: { address: '127.0.0.1', portSpecifier: { case: 'portValue', value: port } } },
    },
    filterChains: [
      {
        transportSocket: { name: 'tls', configType: { case: 'typedConfig', value: anyPack(DownstreamTlsContextSchema, tls) } },
        filters: [{ name: 'http', configType: { case: 'typedConfig', value: anyPack(HttpConnectionManagerSchema, http) } }],
      },
    ],
  });
}

type Sight = { readonly serial: string; readonly resumed: boolean; readonly status: string; readonly session: Buffer | null };

/** One call on a connection of its own. */
async function callOnce(port: number, session?: Buffer): Promise<Sight> {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...(session === undefined ? {} : { session }) });
  let ticket: Buffer | null = null;
  socket.on('session', (given: Buffer) => (ticket = given));
  socket.write('GET / HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n');
  let text = '';
  socket.setEncoding('utf8').on('data', (more: string) => (text += more));
  let serial = '';
  let resumed = false;
  socket.once('secureConnect', () => {
    serial = socket.getPeerX509Certificate()?.serialNumber.toLowerCase() ?? '';
    resumed = socket.isSessionReused();
  });
  await once(socket, 'close');
  return { serial, resumed, status: text.split('\r\n')[0]!, session: ticket };
}

/** Looks often until it is so, for a bounded time. */
async function until<T>(what: string, look: () => T | null | Promise<T | null>): Promise<T> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    if (performance.now() > deadline) throw new Error(`${what} did not come about`);
    await pause(20);
  }
}

/** How many control planes Envoy refused for their names; null for none. */
async function refusedServers(adminPath: string): Promise<number | null> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const asked = get(
    { socketPath: adminPath, path: '/stats?filter=countersign_control.ssl.fail_verify_san' },
    (response) => void text(response).then(resolve),
  );
  asked.on('error', () => resolve(''));
  return Number(/fail_verify_san: (\d+)/.exec(await promise)?.[1] ?? 0) || null;
}

/** A call that is answered, with this certificate where one is named. */
function untilServed(port: number, serial: string | null): Promise<Sight> {
  return until(`serial ${serial}`, async () => {
    const sight = await callOnce(port).catch(() => null);
    return sight !== null && sight.status !== '' && (serial === null || sight.serial === serial) ? sight : null;
  });
}

describe('an Envoy beside its companion', { skip: withoutEnvoy }, () => {
  test('has certificate, ticket keys and the control plane’s CA by SDS; rotations are served without a failed call, and sessions resume across them', async () => {
    await using beside = await openBeside();
    const { control, secrets, port } = beside;
    assert.equal((await control.acknowledgement(LISTENERS)).refusal, undefined);
    await beside.answerFor(secrets.get(secretNames.ticketKeys)!.version);
    const first = await untilServed(port, null);
    const load = { calls: 0, failed: 0 };
    const done = new AbortController();
    const callers = [1, 2].map(async () => {
      while (!done.signal.aborted) {
        const { status } = await callOnce(port).catch(() => ({ status: 'failed' }));
        load.calls += 1;
        if (status !== 'HTTP/1.1 200 OK') load.failed += 1;
      }
    });
    for (let rotation = 0; rotation < 10; rotation++) {
      const credential = beside.renew();
      const taken = beside.answerFor(putIdentity(secrets, credential, null));
      assert.equal((await taken).refusal, null);
      await untilServed(port, credential.leaf.serialHex);
    }
    done.abort();
    await Promise.all(callers);
    assert.ok(load.calls >= 10);
    assert.equal(load.failed, 0);
    assert.equal((await callOnce(port, first.session!)).resumed, true);
  });

  test('keeps the last good certificate when it refuses one, and is not sent it again', async () => {
    await using beside = await openBeside();
    const { control, secrets, answers, port } = beside;
    await control.acknowledgement(LISTENERS);
    const good = await untilServed(port, null);
    const { chainPem, ...other } = beside.renew();
    const mismatched = { ...other, chainPem: beside.renew().chainPem };
    const refused = await beside.answerFor(putIdentity(secrets, mismatched, null));
    assert.match(refused.refusal!, /KEY_VALUES_MISMATCH|private key/i);
    assert.equal((await callOnce(port)).serial, good.serial);
    const mended = await beside.answerFor(putIdentity(secrets, { ...other, chainPem }, null));
    assert.equal(mended.refusal, null);
    await untilServed(port, other.leaf.serialHex);
    // One for each stream: the control plane's cluster and the listener.
    assert.ok(answers.filter(({ refusal }) => refusal !== null).length <= 2);
  });

  test('does not take a server of the right CA but another name for its control plane', async () => {
    await using beside = await openBeside({ controlPlane: `${CONTROL_PLANE}-other` as SpiffeId });
    const { secrets, control } = beside;
    await beside.answerFor(secrets.get(secretNames.controlPlane)!.version);
    await until('the refusal', () => refusedServers(beside.adminPath));
    assert.equal(control.acknowledged.length, 0);
  });
});
