import type { FleetFacts } from '../../control/fleet/read-fleet.ts';
import type { WindowRow } from '../../control/telemetry/read-telemetry.ts';
import { isEnforced, type PathState } from '../../core/rollout/path-state.ts';

/** How much of a fleet is protected. Every path, endpoint and call is in a total, also what is excepted. */
export type Coverage = {
  readonly paths: Part & { readonly proven: number; readonly oneWay: number; readonly federated: number; readonly excepted: number };
  readonly endpoints: Part & { readonly oneWay: number; /** Where somebody may come without a certificate. */ readonly excepted: number };
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
    /** Without a certificate, under an exception: in none of the three before. */
    readonly excepted: number;
    readonly refused: number;
  };
  /** What came under each exception, by its name. */
  readonly exceptions: { readonly [name: string]: number };
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
  const excepted = counted.filter(({ outcome }) => outcome === 'excepted');
  const arrived = channelsOf(
    counted.filter(({ side, outcome, channel }) => side === 'receiver' && served.has(outcome) && channel !== 'passthrough'),
  );
  return {
    paths: {
      total: facts.paths.length,
      enforced: enforced.length,
      proven: facts.paths.filter(({ pathId }) => stageOf.get(pathId) === 'proven').length,
      oneWay: facts.paths.filter(({ protection }) => protection === 'one-way').length,
      federated: facts.paths.filter(({ protection }) => protection === 'federated').length,
      excepted: facts.paths.filter(({ exception }) => exception !== null).length,
    },
    endpoints: {
      total: facts.endpoints.length,
      enforced: facts.endpoints.filter(({ endpointId }) => byEndpoint.get(endpointId)?.every((path) => enforced.includes(path)) ?? false)
        .length,
      oneWay: facts.endpoints.filter(({ endpointId }) => isOneWay(endpointId)).length,
      excepted: facts.endpoints.filter(({ exceptions }) => exceptions.length > 0).length,
    },
    calls: {
      ...channelsOf(counted.filter(({ side, outcome }) => side === 'caller' && outcome !== 'failed' && outcome !== 'refused')),
      failed: sum(counted.filter(({ side, outcome }) => side === 'caller' && outcome === 'failed')),
    },
    received: {
      ...arrived,
      total: arrived.total + sum(excepted),
      excepted: sum(excepted),
      refused: sum(counted.filter(({ side, outcome }) => side === 'receiver' && outcome === 'refused')),
    },
    exceptions: Object.fromEntries([...Map.groupBy(excepted, ({ exception }) => exception)].map(([name, rows]) => [name, sum(rows)])),
  };
}

const served: ReadonlySet<WindowRow['outcome']> = new Set(['accepted', 'would-refuse']);

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
