import { Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import { Problem } from '../../core/problems/problem.ts';

/** What the DNS said: records, that there are none, or nothing that can be relied on. */
export type Found<T> =
  | { readonly kind: 'found'; readonly values: readonly T[] }
  | { readonly kind: 'none' }
  | { readonly kind: 'failed'; readonly detail: string };

/** One property of a CAA record set (RFC 8659 section 4). */
export type CaaProperty = { readonly critical: boolean; readonly tag: string; readonly value: string };

/** Questions to the DNS, each answered within the resolver's own time limit. */
export type NameResolver = {
  /** IPv6 and IPv4 addresses. */
  readonly addresses: (name: string) => Promise<Found<string>>;
  /** Each TXT record with its strings joined. */
  readonly texts: (name: string) => Promise<Found<string>>;
  readonly caa: (name: string) => Promise<Found<CaaProperty>>;
};

/** Asks these servers (`IP` or `IP:PORT`), or the system's if there are none given. @throws input-invalid */
export function makeNameResolver(servers: readonly string[]): NameResolver {
  const resolver = new Resolver({ timeout: TRY_TIMEOUT_MS, tries: TRIES });
  try {
    if (servers.length > 0) resolver.setServers(servers);
  } catch (cause) {
    throw new Problem('input-invalid', 'Cannot use DNS servers: expected IP or IP:PORT', { cause });
  }
  return {
    addresses: async (name) => {
      if (isIP(name) !== 0) return { kind: 'found', values: [name] };
      // RFC 6761 section 6.3: these names are the loopback's, and no question leaves the machine for them.
      if (isLocalhost(name)) return { kind: 'found', values: ['127.0.0.1', '::1'] };
      const [six, four] = await Promise.all([ask(() => resolver.resolve6(name)), ask(() => resolver.resolve4(name))]);
      const values = [six, four].flatMap((found) => (found.kind === 'found' ? found.values : []));
      if (values.length > 0) return { kind: 'found', values };
      return six.kind === 'failed' ? six : four;
    },
    texts: async (name) => ask(async () => (await resolver.resolveTxt(name)).map((strings) => strings.join(''))),
    caa: async (name) =>
      isLocalhost(name)
        ? { kind: 'none' }
        : ask(async () =>
            (await resolver.resolveCaa(name)).flatMap(({ critical, ...properties }) =>
              Object.entries(properties).flatMap(([tag, value]) =>
                typeof value === 'string' ? [{ critical: critical !== 0, tag, value }] : [],
              ),
            ),
          ),
  };
}

function isLocalhost(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost');
}

async function ask<T>(question: () => Promise<T[]>): Promise<Found<T>> {
  try {
    const values = await question();
    return values.length === 0 ? { kind: 'none' } : { kind: 'found', values };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    return code === 'ENOTFOUND' || code === 'ENODATA' ? { kind: 'none' } : { kind: 'failed', detail: code };
  }
}

const TRY_TIMEOUT_MS = 2_000;
const TRIES = 2;
