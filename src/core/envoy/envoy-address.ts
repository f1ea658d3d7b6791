import { createHash } from 'node:crypto';
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

/**
 * A listener's name, by its address: Envoy refuses a listener at an address that another name still has, and what is gone is removed last.
 */
export function listenerName(wire: SocketAddress | undefined): string {
  const address = wire?.address;
  const text = address?.case === 'internet' ? `${address.value.ip} ${address.value.port}` : (address?.value ?? '');
  return `cs|listen|${createHash('sha256').update(text).digest('hex').slice(0, NAME_CHARACTERS)}`;
}

const NAME_CHARACTERS = 16;
