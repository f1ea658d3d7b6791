import type { Socket } from 'node:net';
import type { ProxiedEnds } from '../../core/proxy-protocol/proxy-header.ts';
import { type ProxiedTls, writeV1Header, writeV2Header } from '../../core/proxy-protocol/write-proxy-header.ts';
import type { ProxyProtocolSettings } from '../tls/proxy-protocol-settings.ts';

/** What the upstream is told first on a connection; empty where it is told nothing. */
export function preambleOf(
  { send }: ProxyProtocolSettings,
  { socket, ends, tls }: { readonly socket: Socket; readonly ends: ProxiedEnds | null; readonly tls: ProxiedTls | null },
): Buffer {
  if (send === null) return NOTHING;
  const told = ends ?? endsOf(socket);
  return send === 'v1' ? writeV1Header(told) : writeV2Header(told, tls);
}

/** Null for a Unix socket, and for one that is closed by now. */
function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): ProxiedEnds | null {
  if (remoteAddress === undefined || remotePort === undefined || localAddress === undefined || localPort === undefined) return null;
  return { source: { host: remoteAddress, port: remotePort }, destination: { host: localAddress, port: localPort } };
}

const NOTHING: Buffer = Buffer.alloc(0);
