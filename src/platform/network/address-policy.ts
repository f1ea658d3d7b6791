import { BlockList, isIP } from 'node:net';
import { Problem } from '../../core/problems/problem.ts';

/** Which addresses this installation may connect to on somebody's word. */
export type AddressPolicy = { readonly permits: (ip: string) => boolean };

/** Ranges in CIDR form. Link-local metadata addresses stay refused whatever the ranges say. @throws input-invalid */
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

/** Cloud metadata services answer on link-local addresses (RFC 3927, RFC 4291 section 2.5.6). */
const neverAllowed = new BlockList();
neverAllowed.addSubnet('169.254.0.0', 16, 'ipv4');
neverAllowed.addSubnet('fe80::', 10, 'ipv6');
neverAllowed.addSubnet('0.0.0.0', 8, 'ipv4');

const MAXIMUM_RANGES = 1_000;
