import type { EntityId } from '../../core/ids/entity-id.ts';
import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { ParsedOpen, ParsedReport, Side } from './report.ts';

/** Who sent the report, as its certificate says. */
export type ReportSender = { readonly proxyId: EntityId<'proxy'>; readonly spiffeId: SpiffeId; readonly environment: string };

/** The endpoints that a proxy receives for and calls. */
export type ProxyScope = {
  readonly region: string;
  readonly serves: ReadonlySet<EntityId<'endpoint'>>;
  /** Endpoints whose TLS it passes through: it may say that it did, and nothing of who called. */
  readonly carries: ReadonlySet<EntityId<'endpoint'>>;
  readonly calls: ReadonlySet<EntityId<'endpoint'>>;
};

/** A part of a report about what is not the sender's. */
export type ForeignPart = {
  readonly endpointId: EntityId<'endpoint'>;
  readonly part: 'counts' | 'open' | 'refusals' | 'served' | 'drills';
};

/**
 * Leaves of a report what its sender may tell: receiver's counts of endpoints that it serves, caller's counts of endpoints that
 * it calls (and these always under its own identity, whatever it wrote), drills only from the prober. The rest is named.
 */
export function admitReport(
  sender: SpiffeId,
  senderIsReserved: boolean,
  report: ParsedReport,
  scope: ProxyScope | null,
): { readonly report: ParsedReport; readonly region: string; readonly refused: readonly ForeignPart[] } {
  const refused: ForeignPart[] = [];
  const keep = (endpointId: EntityId<'endpoint'>, part: ForeignPart['part'], may: boolean): boolean => {
    if (!may) refused.push({ endpointId, part });
    return may;
  };
  const isOwn = ({ side, channel, endpointId }: Pick<ParsedOpen, 'side' | 'channel' | 'endpointId'>): boolean =>
    (side === 'caller' ? scope?.calls : channel === 'passthrough' ? scope?.carries : scope?.serves)?.has(endpointId) ?? false;
  const sign = <Item extends { readonly side: Side; readonly caller: string }>(item: Item): Item =>
    item.side === 'caller' ? { ...item, caller: sender } : item;
  const serves = (endpointId: EntityId<'endpoint'>): boolean => scope?.serves.has(endpointId) ?? false;
  return {
    report: {
      ...report,
      counts: report.counts.filter((count) => keep(count.endpointId, 'counts', isOwn(count))).map(sign),
      open: report.open.filter((open) => keep(open.endpointId, 'open', isOwn(open))).map(sign),
      refusals: report.refusals.filter(({ endpointId }) => keep(endpointId, 'refusals', serves(endpointId))),
      served: report.served.filter(({ endpointId }) => keep(endpointId, 'served', serves(endpointId))),
      drills: report.drills.filter(({ endpointId }) => keep(endpointId, 'drills', senderIsReserved)),
    },
    region: scope?.region ?? '',
    refused,
  };
}
