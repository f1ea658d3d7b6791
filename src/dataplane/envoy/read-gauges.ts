import { create } from '@bufbuild/protobuf';
import { parseAccessLogName } from '../../core/envoy/access-log-name.ts';
import { type OpenConnections, OpenConnectionsSchema } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { sides, wireChannels } from '../tls/counters.ts';
import type { ProxyPorts } from '../tls/proxy-settings.ts';
import type { AdminClient } from './admin-client.ts';
import type { ConnectionBook } from './connection-book.ts';

/** What is open at Envoy by its gauges: callers' connections by chain, and its own to the endpoints that it calls. Null if it does not answer. */
export async function readGauges(admin: AdminClient, book: ConnectionBook, settings: ProxyPorts | null): Promise<OpenConnections[] | null> {
  const gauges = await admin.gauges(GAUGES).catch(() => null);
  if (gauges === null) return null;
  const found: OpenConnections[] = [];
  for (const [gauge, count] of gauges) {
    const { source, name: text } =
      /^(?<source>http|tcp|connection_limit|cluster)\.(?<name>.+)\.(?:down|up|active)/.exec(gauge)?.groups ?? {};
    const name = parseAccessLogName(text ?? '');
    if (name === null || count === 0) continue;
    const { side, endpointId, channel } = name;
    if (source === 'cluster') {
      if (side !== 'outbound' || channel === 'listener' || channel === 'passthrough') continue;
      const caller = settings?.spiffeId ?? '';
      found.push(create(OpenConnectionsSchema, { side: sides.caller, endpointId, caller, channel: wireChannels[channel], count }));
    } else if (side === 'inbound' && (source === 'http') === (name.protocol !== 'tcp')) {
      for (const one of book.split(name, count))
        found.push(create(OpenConnectionsSchema, { ...one, side: sides.receiver, channel: wireChannels[one.channel] }));
    }
  }
  return found;
}

/** tcp_proxy has no gauge of its own; the limit of connections before it has one. */
const GAUGES =
  '^((http\\.cs\\|inbound.*\\.downstream_cx_active)|(connection_limit\\.cs\\|inbound.*\\.active_connections)|(cluster\\.cs\\|outbound.*\\.upstream_cx_active))$';
