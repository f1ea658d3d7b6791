import { BlockList, isIP } from 'node:net';
import { Problem } from '../../core/problems/problem.ts';

/** Which addresses this installation may connect to on somebody's word. */
export type AddressPolicy = { readonly permits: (ip: string) => boolean };

/** Ranges in CIDR form. Addresses of cloud metadata stay refused whatever the ranges say, in any way to write them. @throws input-invalid */
export function parseAddressPolicy(ranges: readonly string[]): AddressPolicy {
  if (ranges.length > MAXIMUM_RANGES)
    throw new Problem('input-invalid', `Cannot parse ranges: ${ranges.length}, expected at most ${MAXIMUM_RANGES}`);
  const allowed = new BlockList();
  for (const range of ranges) {
    const [address = '', bits = ''] = range.split('/');
    const family = isIP(address);
    const prefix = Number(bits);
    if (family === 0 || !/^\d{1,3}$/.test(bits) || prefix > (family === 4 ? 32 : 128)) {
      throw new Problem('input-invalid', `Cannot parse range: ${JSON.stringify(range.slice(0, 100))}, expected CIDR such as 10.0.0.0/8`);
    }
    allowed.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6');
  }
  return {
    permits: (ip) => {
      const family = isIP(ip);
      if (family === 0) return false;
      const kind = family === 4 ? 'ipv4' : 'ipv6';
      return allowed.check(ip, kind) && !neverAllowed.check(ip, kind);
    },
  };
}

/** Where clouds tell whoever asks from a machine what that machine may do: no range that is wide by accident leads there. */
const neverAllowed = new BlockList();
for (const [address, bits] of [
  // Link-local, where most of them answer (RFC 3927).
  ['169.254.0.0', 16],
  ['0.0.0.0', 8],
  // Alibaba Cloud's.
  ['100.100.100.200', 32],
] as const)
  neverAllowed.addSubnet(address, bits, 'ipv4');
for (const [address, bits] of [
  ['fe80::', 10],
  // The same of IPv4 behind a translator (RFC 6052 section 2.1) and by 6to4 (RFC 3056 section 2).
  ['64:ff9b::a9fe:0', 112],
  ['64:ff9b::', 104],
  ['64:ff9b::6464:64c8', 128],
  ['2002:a9fe::', 32],
  ['2002::', 24],
  ['2002:6464:64c8::', 48],
  // Those of Amazon, Google and Oracle among unique local addresses, of which a range of one's own may be part.
  ['fd00:ec2::254', 128],
  ['fd20:ce::254', 128],
  ['fd00:c1::a9fe:a9fe', 128],
] as const)
  neverAllowed.addSubnet(address, bits, 'ipv6');

const MAXIMUM_RANGES = 1_000;
