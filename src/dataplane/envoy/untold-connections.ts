import { parseAccessLogName } from '../../core/envoy/access-log-name.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { Counters } from '../tls/counters.ts';
import type { AdminClient } from './admin-client.ts';

/**
 * An Envoy that ran before us had connections whose logs nobody took: it sends them to a stream that is gone, and counts none as lost. Nobody
 * can say who these were, and that they were nobody would be a guess: so each open port that had any has one that proved nothing.
 */
export class UntoldConnections {
  readonly #deps: { readonly admin: AdminClient; readonly counters: Counters; readonly log: Log };
  /** Ports that had connections before our first; null once these are counted. */
  #before: Promise<readonly string[]> | null;

  constructor(deps: { readonly admin: AdminClient; readonly counters: Counters; readonly log: Log }) {
    this.#deps = deps;
    this.#before = usedChains(deps.admin);
  }

  /** Once: of the first report under settings. */
  async count(generation: bigint): Promise<void> {
    const { counters, log } = this.#deps;
    const before = this.#before;
    this.#before = null;
    for (const text of (await before) ?? []) {
      const chain = parseAccessLogName(text);
      if (chain === null || (chain.channel !== 'plaintext' && chain.channel !== 'tls')) continue;
      const { endpointId, channel } = chain;
      const reason = channel === 'plaintext' ? 'plaintext' : 'no-certificate';
      const who = { side: 'receiver', endpointId, caller: '', generation, channel, reason } as const;
      counters.count({ ...who, unit: 'connection', outcome: 'would-refuse' });
      log('warn', 'connections that envoy told nobody of', { endpointId, channel });
    }
  }
}

/** An Envoy that does not answer has none yet: it waits for our secrets. */
async function usedChains(admin: AdminClient): Promise<readonly string[]> {
  const totals = await admin.counters(TOTALS).catch(() => new Map<string, number>());
  return [...totals].filter(([, count]) => count > 0).map(([name]) => name.slice(name.indexOf('.') + 1, name.lastIndexOf('.')));
}

const TOTALS = String.raw`^(http|tcp)\.cs\|inbound.*\.downstream_cx_total$`;
