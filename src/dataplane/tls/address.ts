import { isIP } from 'node:net';
import type { SocketAddress } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { formatHostPort } from '../../platform/network/host-port.ts';

/** Where a socket is. */
export type Address =
  | { readonly kind: 'internet'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** Null for what is no address: a name in place of an IP, a port beyond 16 bits, a path that does not fit sun_path. */
export function parseAddress(wire: SocketAddress | undefined): Address | null {
  const address = wire?.address;
  if (address?.case === 'internet') {
    const { ip, port } = address.value;
    return isIP(ip) !== 0 && port <= 65_535 ? { kind: 'internet', host: ip, port } : null;
  }
  if (address?.case === 'unixPath') {
    const path = address.value;
    const isUsable = path.startsWith('/') && Buffer.byteLength(path) <= MAXIMUM_PATH_OCTETS && !path.includes('\0');
    return isUsable ? { kind: 'unix', path } : null;
  }
  return null;
}

/** `127.0.0.1:8443` or `unix:/run/orders.sock`; equal text, equal address. */
export function formatAddress(address: Address): string {
  return address.kind === 'unix' ? `unix:${address.path}` : formatHostPort(address);
}

/** unix(7): sun_path holds 108 octets with its end mark on Linux, 104 on macOS. */
const MAXIMUM_PATH_OCTETS = 103;
