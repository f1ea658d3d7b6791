import { BlockList, isIP } from 'node:net';
import type { OutsidePolicy } from './outside-policy.ts';

/** Any address of the public internet: what a stranger names leads to nothing of this machine or its networks. */
export const publicAddresses: OutsidePolicy = {
  permits: (ip) => {
    const family = isIP(ip);
    if (family === 0) return false;
    return family === 4 ? !special4.check(ip, 'ipv4') : !special6.check(ip, 'ipv6');
  },
};

/** RFC 6890 and the registries that it began, as far as hosts are there that a stranger could mean. */
const special4 = new BlockList();
/** Apart, because a list takes an IPv4 address for the IPv6 address that it is mapped to as well. */
const special6 = new BlockList();
for (const [address, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
] as const)
  special4.addSubnet(address, bits, 'ipv4');
for (const [address, bits] of [
  // Unspecified, loopback, IPv4-compatible and IPv4-mapped.
  ['::', 8],
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const)
  special6.addSubnet(address, bits, 'ipv6');
