import type { FleetFacts } from '../../control/fleet/read-fleet.ts';
import type { WindowRow } from '../../control/telemetry/read-telemetry.ts';
import { isEnforced, type PathState } from '../../core/rollout/path-state.ts';

/** How much of a fleet is protected. Every path, endpoint and call is in a total, also what is excepted. */
export type Coverage = {
  readonly paths: Part & { readonly proven: number; readonly oneWay: number; readonly excepted: number };
  readonly endpoints: Part & { readonly oneWay: number };
  /** Calls (connections for raw TCP) as the callers' proxies made them; failed ones are in no total. */
  readonly calls: {
    readonly total: number;
    readonly mtls: number;
    readonly tls: number;
    readonly plaintext: number;
    readonly failed: number;
  };
  /** Calls that arrived, as the receivers' proxies counted them. */
  readonly received: {
    readonly total: number;
    readonly mtls: number;
    readonly tls: number;
    readonly plaintext: number;
    readonly refused: number;
  };
};
type Part = { readonly total: number; readonly enforced: number };

export function summarizeCoverage(facts: FleetFacts, states: readonly PathState[], counts: readonly WindowRow[]): Coverage {
  const stageOf = new Map(states.map(({ pathId, stage }) => [pathId, stage]));
  const enforced = facts.paths.filter(({ pathId }) => isEnforced(stageOf.get(pathId) ?? 'observe'));
  const byEndpoint = Map.groupBy(facts.paths, ({ endpointId }) => endpointId);
  const isOneWay = (endpointId: FleetFacts['endpoints'][number]['endpointId']): boolean =>
    byEndpoint.get(endpointId)?.some(({ protection }) => protection === 'one-way') ?? false;
  const units = new Map(facts.endpoints.map(({ endpointId, unit }) => [endpointId as string, unit]));
  const counted = counts.filter(({ endpoint_id, unit }) => units.get(endpoint_id) === unit);
  return {
    paths: {
      total: facts.paths.length,
      enforced: enforced.length,
      proven: facts.paths.filter(({ pathId }) => stageOf.get(pathId) === 'proven').length,
      oneWay: facts.paths.filter(({ protection }) => protection === 'one-way').length,
      excepted: facts.paths.filter(({ exception }) => exception !== null).length,
    },
    endpoints: {
      total: facts.endpoints.length,
      enforced: facts.endpoints.filter(({ endpointId }) => byEndpoint.get(endpointId)?.every((path) => enforced.includes(path)) ?? false)
        .length,
      oneWay: facts.endpoints.filter(({ endpointId }) => isOneWay(endpointId)).length,
    },
    calls: {
      ...channelsOf(counted.filter(({ side, outcome }) => side === 'caller' && outcome !== 'failed' && outcome !== 'refused')),
      failed: sum(counted.filter(({ side, outcome }) => side === 'caller' && outcome === 'failed')),
    },
    received: {
      ...channelsOf(
        counted
          .filter(({ side, outcome }) => side === 'receiver' && outcome !== 'failed' && outcome !== 'refused')
          .filter(({ channel }) => channel !== 'passthrough'),
      ),
      refused: sum(counted.filter(({ side, outcome }) => side === 'receiver' && outcome === 'refused')),
    },
  };
}

function channelsOf(rows: readonly WindowRow[]): {
  readonly total: number;
  readonly mtls: number;
  readonly tls: number;
  readonly plaintext: number;
} {
  const of = (channel: WindowRow['channel']): number => sum(rows.filter((row) => row.channel === channel));
  return { total: sum(rows), mtls: of('mtls'), tls: of('tls'), plaintext: of('plaintext') };
}

function sum(rows: readonly WindowRow[]): number {
  return rows.reduce((total, row) => total + row.total, 0);
}
