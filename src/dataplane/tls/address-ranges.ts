import { BlockList, isIP } from 'node:net';

/** Whether a host is in one of some ranges; an IPv4 address that is written as one of IPv6 is the same. */
export type AddressRanges = (host: string) => boolean;

/** The first of these texts that is no range such as `10.0.0.0/8`; null if all of them are. */
export function findBadRange(ranges: readonly string[]): string | null {
  return ranges.find((range) => !isRange(range)) ?? null;
}

/** Takes only what `findBadRange` has nothing against. */
export function addressRanges(ranges: readonly string[]): AddressRanges {
  const list = new BlockList();
  for (const range of ranges) {
    const [network = '', bits = ''] = range.split('/');
    list.addSubnet(network, Number(bits), isIP(network) === 4 ? 'ipv4' : 'ipv6');
  }
  return (host) => {
    const family = isIP(host);
    return family !== 0 && list.check(host, family === 4 ? 'ipv4' : 'ipv6');
  };
}

function isRange(range: string): boolean {
  const [network = '', bits = '', ...more] = range.split('/');
  const family = isIP(network);
  return family !== 0 && more.length === 0 && /^(0|[1-9][0-9]{0,2})$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}
