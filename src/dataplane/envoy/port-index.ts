import { create } from '@bufbuild/protobuf';
import { listenerName } from '../../core/envoy/envoy-address.ts';
import { type SocketAddress, SocketAddressSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { Address } from '../tls/address.ts';
import type { PassthroughListener } from '../tls/passthrough-settings.ts';
import type { InboundListener, OutboundListener, ProxyPorts } from '../tls/proxy-settings.ts';

/** The ports of settings by what access logs call them. */
export type PortIndex = {
  readonly inbound: ReadonlyMap<string, InboundListener>;
  readonly outbound: ReadonlyMap<string, OutboundListener>;
  /** Endpoints that are passed through. */
  readonly carried: ReadonlySet<string>;
  /** Ports that several of these share, by what stands in the place of the endpoint in the name of their log. */
  readonly shared: ReadonlyMap<string, PassthroughListener>;
};

export function indexPorts(settings: ProxyPorts | null): PortIndex {
  const { inbound = [], outbound = [], passthrough = [] } = settings ?? {};
  return {
    inbound: new Map(inbound.map((port) => [port.endpointId, port])),
    outbound: new Map(outbound.map((port) => [port.endpointId, port])),
    carried: new Set(passthrough.flatMap(({ routes }) => routes.map(({ endpointId }) => endpointId))),
    shared: new Map(passthrough.map((port) => [listenerName(wireAddress(port.listen)).slice('cs|listen|'.length), port])),
  };
}

function wireAddress(address: Address): SocketAddress {
  return create(SocketAddressSchema, {
    address:
      address.kind === 'unix'
        ? { case: 'unixPath', value: address.path }
        : { case: 'internet', value: { ip: address.host, port: address.port } },
  });
}
