import type { SocketAddress } from '../messages/generated/countersign/v1/settings_pb.ts';
import type { AddressSchema, CidrRangeSchema } from '../messages/generated/envoy/config/core/v3/address_pb.ts';
import type { Init } from './pack.ts';

/** An address of settings in Envoy's form; null for one that is missing. */
export function envoyAddress(wire: SocketAddress | undefined): Init<typeof AddressSchema> | null {
  const address = wire?.address;
  if (address?.case === 'internet') {
    const { ip, port } = address.value;
    return { address: { case: 'socketAddress', value: { address: ip, portSpecifier: { case: 'portValue', value: port } } } };
  }
  return address?.case === 'unixPath' ? { address: { case: 'pipe', value: { path: address.value } } } : null;
}

/** `10.0.0.0/8` in Envoy's form. */
export function cidrRange(text: string): Init<typeof CidrRangeSchema> {
  const [addressPrefix = '', bits = ''] = text.split('/');
  return { addressPrefix, prefixLen: Number(bits) };
}

/** One text for one address. */
export function addressText(wire: SocketAddress | undefined): string {
  const address = wire?.address;
  if (address?.case === 'internet') return `${address.value.ip} ${address.value.port}`;
  return address?.case === 'unixPath' ? address.value : '';
}
