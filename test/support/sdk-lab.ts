import { type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { parseSpiffeId, type SpiffeId } from '../../src/core/identity/spiffe-id.ts';
import type { EntityId } from '../../src/core/ids/entity-id.ts';
import {
  type Inbound,
  InboundSchema,
  Origination,
  type Outbound,
  OutboundSchema,
  Protocol,
} from '../../src/core/messages/generated/countersign/v1/settings_pb.ts';
import { SETTINGS_TYPE } from '../../src/core/messages/type-urls.ts';
import { Countersign, identityOf, open } from '../../src/dataplane/sdk/countersign-sdk.ts';
import type { StateDirectory } from '../../src/platform/keystore/state-directory.ts';
import { loopback, modes } from './proxy-lab.ts';
import { type TestControlPlane, TRUST_DOMAIN } from './test-control-plane.ts';

export const named = (name: string): SpiffeId => parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/${name}`);
export const endpointIdOf = (name: string): string => `endpoint_${name.padEnd(26, '0')}`;
export const PROBE = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/countersign/probe`);

/** An endpoint that a service serves in its own process. */
export function serves(name: string, mode: keyof typeof modes, more: MessageInitShape<typeof InboundSchema> = {}): Inbound {
  return create(InboundSchema, {
    endpointId: endpointIdOf(name),
    endpointName: name,
    protocol: Protocol.HTTP,
    anonymousMode: modes[mode],
    strangerMode: modes[mode],
    callers: [{ pathId: 'path_01j00000000000000000000000', spiffeId: named('orders'), mode: modes[mode] }],
    drainMs: 300,
    probeSpiffeId: PROBE,
    ...more,
  } as MessageInitShape<typeof InboundSchema>);
}

/** An endpoint that a service calls from its own process. */
export function calls(
  name: string,
  ports: readonly number[],
  more: MessageInitShape<typeof OutboundSchema> & { readonly origination?: Origination } = {},
): Outbound {
  const origination = more.origination ?? Origination.MTLS;
  return create(OutboundSchema, {
    pathId: 'path_01j00000000000000000000000',
    endpointId: endpointIdOf(name),
    endpointName: name,
    upstreams: ports.map(loopback),
    protocol: Protocol.HTTP,
    origination,
    serverSpiffeId: origination === Origination.MTLS ? named(name) : '',
    drainMs: 300,
    ...more,
  } as MessageInitShape<typeof OutboundSchema>);
}

export type Ports = { readonly inbound?: readonly Inbound[]; readonly outbound?: readonly Outbound[] };

/** A service with the SDK inside, joined to a real control plane. */
export type TestService = AsyncDisposable & {
  readonly countersign: Countersign;
  readonly state: StateDirectory;
  readonly proxyId: EntityId<'proxy'>;
  readonly spiffeId: SpiffeId;
  /** Sends it other settings; resolves when it answered them. */
  setPorts(ports: Ports): Promise<void>;
};

export async function openService(control: TestControlPlane, name: string, ports: Ports): Promise<TestService> {
  const { state, proxyId, spiffeId } = await control.joined(name);
  let generation = 0n;
  const send = ({ inbound = [], outbound = [] }: Ports): void => {
    for (const { endpointId } of inbound) control.scope.serves.add(endpointId);
    for (const { endpointId } of outbound) control.scope.calls.add(endpointId);
    generation += 1n;
    control.setSettings(proxyId, spiffeId, generation, {
      trustDomain: TRUST_DOMAIN,
      inbound: [...inbound],
      outbound: [...outbound],
      telemetryIntervalMs: 100,
    });
  };
  send(ports);
  const countersign = await openAgain(control, state);
  return {
    countersign,
    state,
    proxyId,
    spiffeId,
    async setPorts(changed) {
      send(changed);
      const version = String(generation);
      await control.acknowledgement(SETTINGS_TYPE, (found) => found.name === proxyId && found.version === version);
    },
    [Symbol.asyncDispose]: () => countersign.close(0),
  };
}

/** As a service that was started again with the folder that it had. */
export function openAgain(control: TestControlPlane, state: StateDirectory): Promise<Countersign> {
  return open({
    control: `127.0.0.1:${control.port}`,
    state: state.path,
    clock: control.clock,
    log: control.log,
  });
}

/** Answers with what the SDK says about the caller. */
export function tellCaller(request: IncomingMessage, response: ServerResponse): void {
  request.resume().on('end', () => response.end(JSON.stringify(identityOf(request))));
}

export async function listening(server: Server, port = 0): Promise<number> {
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}
