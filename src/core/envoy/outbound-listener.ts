import { create } from '@bufbuild/protobuf';
import type { Outbound } from '../messages/generated/countersign/v1/settings_pb.ts';
import { TrafficDirection } from '../messages/generated/envoy/config/core/v3/base_pb.ts';
import { ListenerSchema } from '../messages/generated/envoy/config/listener/v3/listener_pb.ts';
import { formatAccessLogName } from './access-log-name.ts';
import { connectionLog } from './access-logs.ts';
import { endpointClusterName } from './cluster.ts';
import { envoyAddress, listenerName } from './envoy-address.ts';
import { type EnvoyResource, envoyResource } from './envoy-resource.ts';
import { httpManager } from './http-manager.ts';
import { outboundName } from './outbound-routes.ts';
import { envoyProtocol } from './protocol-name.ts';
import { tcpForward } from './tcp-forward.ts';

/** The port at which a service's own calls arrive. Null if it has no address. */
export function outboundListener(outbound: Outbound): EnvoyResource | null {
  const address = envoyAddress(outbound.listen);
  if (address === null) return null;
  const protocol = envoyProtocol(outbound.protocol);
  const name = listenerName(outbound.listen);
  const tag = formatAccessLogName({ side: 'outbound', endpointId: outbound.endpointId, channel: 'listener', protocol });
  const chain = outboundName(outbound);
  const filter =
    protocol === 'tcp'
      ? tcpForward({ name: chain, cluster: endpointClusterName(outbound) })
      : httpManager({ name: chain, protocol, isInbound: false, limits: null });
  const message = create(ListenerSchema, {
    name,
    address,
    statPrefix: tag,
    trafficDirection: TrafficDirection.OUTBOUND,
    filterChains: [{ name: chain, filters: [filter] }],
    perConnectionBufferLimitBytes: BUFFER_OCTETS,
    accessLog: [connectionLog(tag)],
  });
  return { ...envoyResource(ListenerSchema, name, message), ...(protocol === 'tcp' ? { needs: [endpointClusterName(outbound)] } : {}) };
}

const BUFFER_OCTETS = 262_144;
