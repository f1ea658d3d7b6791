import { isIP } from 'node:net';
import { Problem } from '../../core/problems/problem.ts';
import type { AddressPolicy } from '../../platform/network/address-policy.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import { type AddressFacts, probeAddress } from './probe-address.ts';

export type DiscoveryOptions = {
  readonly policy: AddressPolicy;
  /** Addresses begun per second, over all. */
  readonly perSecond: number;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
};

/** Parses `127.0.0.1:8000-8100` or `127.0.0.1:8443`. @throws input-invalid */
export function parseAddressRange(text: string): readonly HostPort[] {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const first = Number(match?.[3]);
  const last = Number(match?.[4] ?? match?.[3]);
  const host = match?.[1] ?? match?.[2] ?? '';
  if (isIP(host) === 0 || first === 0 || last > 65_535 || last < first || last - first >= MAXIMUM_ADDRESSES) {
    throw new Problem(
      'input-invalid',
      `Cannot parse addresses: ${JSON.stringify(text.slice(0, 100))}, expected IP:PORT or IP:FIRST-LAST, at most ${MAXIMUM_ADDRESSES}`,
    );
  }
  return Array.from({ length: last - first + 1 }, (_, index) => ({ host, port: first + index }));
}

/**
 * Probes every address, a few at a time and rate-bounded; those that nothing listens on are left out.
 * @throws input-invalid when an address lies outside of the permitted ranges, before anything is sent
 */
export async function discoverAddresses(addresses: readonly HostPort[], options: DiscoveryOptions): Promise<readonly AddressFacts[]> {
  for (const { host } of addresses) {
    if (!options.policy.permits(host))
      throw new Problem('input-invalid', `Cannot discover: ${host} is outside of the ranges in network.allow`);
  }
  const found: AddressFacts[] = [];
  const startedAt = performance.now();
  let next = 0;
  let done = 0;
  const work = async (): Promise<void> => {
    while (next < addresses.length && options.signal?.aborted !== true) {
      const index = next++;
      await untilTurn(startedAt + (index / options.perSecond) * 1_000);
      const facts = await probeAddress(addresses[index]!, options.timeoutMs);
      if (facts.reachable) found.push(facts);
      options.onProgress?.(++done, addresses.length);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  return found.toSorted((a, b) => a.address.localeCompare(b.address, 'en', { numeric: true }));
}

async function untilTurn(at: number): Promise<void> {
  const wait = at - performance.now();
  if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
}

/** A /16 of ports: what one command may ask. */
const MAXIMUM_ADDRESSES = 65_536;
/** Enough to hide one slow address, few enough for a small device. */
const CONCURRENCY = 16;
