import { parseAccessLogName } from '../../core/envoy/access-log-name.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { Counters } from '../tls/counters.ts';
import type { ProxyPorts } from '../tls/proxy-settings.ts';
import type { AdminClient } from './admin-client.ts';

type Deps = { readonly admin: Pick<AdminClient, 'counters'>; readonly settings: () => ProxyPorts | null; readonly log: Log };

/** Where what is not known counts, and under which generation. */
export type Untold = { readonly counters: Counters; readonly generation: bigint };

/**
 * What an Envoy logged and nobody took: before our start, when its companion was too slow, or with a stream that broke. Nobody can say whose
 * calls these were, and that they were nobody's would be a guess: so each open port that ever had any connection has one that proved nothing,
 * and each way out one that may have gone in the clear. That holds the gates that rely on there having been none.
 */
export class UntoldConnections {
  readonly #deps: Deps;
  /** Chains that had connections before our start; null once these are counted. */
  #before: Promise<readonly string[]> | null;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#before = this.#usedChains();
  }

  /** Once: of the first report under settings. */
  async countBefore(untold: Untold): Promise<void> {
    const before = this.#before;
    this.#before = null;
    // What went out before our start was told of by whoever it came to.
    this.#count(
      ((await before) ?? []).filter((text) => text.startsWith('cs|inbound|')),
      untold,
    );
  }

  /** So many entries did not come. */
  async countLost(entries: number, untold: Untold): Promise<void> {
    this.#deps.log('warn', 'access logs of envoy are lost', { entries });
    this.#count(await this.#usedChains(), untold);
  }

  #count(chains: readonly string[], { counters, generation }: Untold): void {
    for (const text of new Set(chains)) {
      const chain = parseAccessLogName(text);
      if (chain === null || (chain.channel !== 'plaintext' && chain.channel !== 'tls')) continue;
      const { endpointId, channel, side } = chain;
      const reason = channel === 'plaintext' ? 'plaintext' : 'no-certificate';
      const who =
        side === 'inbound'
          ? ({ side: 'receiver', caller: '' } as const)
          : ({ side: 'caller', caller: this.#deps.settings()?.spiffeId ?? '' } as const);
      counters.count({ ...who, endpointId, generation, channel, reason, unit: 'connection', outcome: 'would-refuse' });
      this.#deps.log('warn', 'connections that envoy told nobody of', { endpointId, channel });
    }
  }

  /** An Envoy that does not answer has none yet: it waits for our secrets. */
  async #usedChains(): Promise<readonly string[]> {
    const totals = await this.#deps.admin.counters(TOTALS).catch(() => new Map<string, number>());
    return [...totals].filter(([, count]) => count > 0).map(([name]) => name.slice(name.indexOf('.') + 1, name.lastIndexOf('.')));
  }
}

const TOTALS = String.raw`^(http|tcp)\.cs\|.*\.downstream_cx_total$`;
