import type { ConnectionTable } from './connection-table.ts';
import type { InboundSettings } from './proxy-settings.ts';

/** What one process of several used of limits that hold for all of them. */
export type SharedUse = {
  /** Calls taken since it was last told, by endpoint and caller. */
  readonly calls: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** Connections that are open now, by endpoint. */
  readonly open: ReadonlyMap<string, number>;
};

type Limited = Pick<InboundSettings, 'endpointId' | 'rates'>;

/** What was used here since the last time. */
export function takeUse(inbound: readonly Limited[], table: ConnectionTable): SharedUse {
  const calls = new Map<string, ReadonlyMap<string, number>>();
  for (const { endpointId, rates } of inbound) {
    const spent = rates?.takeSpent();
    if (spent !== undefined && spent.size > 0) calls.set(endpointId, spent);
  }
  return { calls, open: table.openAtEndpoints() };
}

/** What the other processes of the same proxy use, as far as they have told. Alone there are none. */
export class Elsewhere {
  #open: ReadonlyMap<string, number> = new Map();

  openAt(endpointId: string): number {
    return this.#open.get(endpointId) ?? 0;
  }

  hear({ calls, open }: SharedUse, inbound: readonly Limited[]): void {
    this.#open = open;
    for (const { endpointId, rates } of inbound) {
      const spent = calls.get(endpointId);
      if (spent !== undefined) rates?.spend(spent, performance.now());
    }
  }
}
