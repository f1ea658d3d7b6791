import { writeFileSync } from 'node:fs';
import type { ControlPlane } from './control-plane.ts';
import { environment, type ServiceName } from './fleet.ts';
import { rolloutName } from './declaration.ts';

/** What the demo reads of the REST API's answers; the shapes are those of docs/reference, not imported from the product. */

export type Reason = {
  readonly code: string;
  readonly pathId?: string;
  readonly endpointId?: string;
  readonly caller?: string;
  readonly refusal?: string;
  readonly firstSeenAt?: number;
};

export type RolloutStatus = {
  readonly status: string;
  readonly holds: readonly { readonly firstAt: number; readonly endedAt: number | null; readonly reason: Reason }[];
  readonly rollbacks: readonly {
    readonly at: number;
    readonly wave: number | null;
    readonly paths: readonly string[];
    readonly reasons: readonly Reason[];
    readonly firstFailureAt: number | null;
    readonly retriedAt: number | null;
  }[];
  readonly steps: readonly {
    readonly stepId: string;
    readonly kind: string;
    readonly at: number;
    readonly wave: number | null;
    readonly moves: readonly { readonly kind: string; readonly pathId: string; readonly to?: string }[];
  }[];
};

export type RolloutPlan = {
  readonly endpoints: readonly {
    readonly endpointId: string;
    readonly holds: readonly Reason[];
    readonly wouldRefuse: readonly { readonly caller: string | null; readonly reason: string; readonly count: number }[];
  }[];
  readonly paths: readonly {
    readonly pathId: string;
    readonly endpointId: string;
    readonly caller: string;
    readonly stage: string;
    readonly protection: string;
    readonly wouldRefuse: readonly { readonly caller: string | null; readonly reason: string; readonly count: number }[];
    readonly exception: { readonly owner: string; readonly until: number } | null;
  }[];
};

export function readStatus(plane: ControlPlane): Promise<RolloutStatus> {
  return plane.get(`/v1/rollouts/${rolloutName}?environment=${environment}`);
}

export function readPlan(plane: ControlPlane): Promise<RolloutPlan> {
  return plane.get(`/v1/rollouts/${rolloutName}/plan?environment=${environment}`);
}

export async function readProxies(
  plane: ControlPlane,
): Promise<readonly { readonly name: string; readonly isAcknowledged: boolean; readonly isConnected: boolean }[]> {
  const { items } = await plane.get<{
    readonly items: readonly { readonly name: string; readonly delivery: string; readonly connected: boolean }[];
  }>(`/v1/proxies?environment=${environment}`);
  return items.map(({ name, delivery, connected }) => ({ name, isAcknowledged: delivery === 'acknowledged', isConnected: connected }));
}

/** What ids mean. */
export type Names = {
  readonly paths: ReadonlyMap<string, { readonly caller: ServiceName; readonly endpoint: ServiceName; readonly name: string }>;
  readonly endpoints: ReadonlyMap<string, ServiceName>;
};

export async function readNames(plane: ControlPlane): Promise<Names> {
  const { items } = await plane.get<{
    readonly items: readonly { readonly id: string; readonly caller: string; readonly endpointId: string; readonly endpoint: string }[];
  }>(`/v1/paths?environment=${environment}`);
  return {
    paths: new Map(
      items.map(({ id, caller, endpoint }) => {
        const from = caller.split('/').at(-1) as ServiceName;
        return [id, { caller: from, endpoint: endpoint as ServiceName, name: `${from} → ${endpoint}` }] as const;
      }),
    ),
    endpoints: new Map(items.map(({ endpointId, endpoint }) => [endpointId, endpoint as ServiceName])),
  };
}

/** Makes the join token of a declared proxy and writes it to a file for its owner only, as `token join --out` does. */
export async function writeJoinToken(plane: ControlPlane, proxy: string, file: string): Promise<void> {
  const { token } = await plane.post<{ readonly token: string }>('/v1/join-tokens', { proxy, environment });
  writeFileSync(file, `${token}\n`, { mode: 0o600 });
}

export async function suspend(plane: ControlPlane, spiffeId: string, reason: string): Promise<void> {
  await plane.post('/v1/identities/suspend', { spiffeId, reason });
}

export type DrillCounts = { readonly fired: number; readonly refused: number; readonly passed: number; readonly endpoints: number };

type DrillJob = { readonly verdicts: readonly { readonly kind: string; readonly proven: boolean; readonly because: string | null }[] };

/** The latest drills of every address of every endpoint: the good handshake is counted apart from those that must be refused. */
export async function readDrills(plane: ControlPlane): Promise<DrillCounts & { readonly failures: readonly string[] }> {
  const { items: jobs } = await plane.get<{ readonly items: readonly DrillJob[] }>(`/v1/drills?environment=${environment}`);
  const verdicts = jobs.flatMap((job) => job.verdicts);
  const bad = verdicts.filter(({ kind }) => kind !== 'positive');
  return {
    fired: bad.length,
    refused: bad.filter(({ proven }) => proven).length,
    passed: verdicts.filter(({ kind, proven }) => kind === 'positive' && proven).length,
    endpoints: jobs.length,
    failures: verdicts.filter(({ proven }) => !proven).map(({ kind, because }) => `${kind}: ${because}`),
  };
}

/** Calls that the receivers' proxies counted in a window, whatever the channel. */
export async function readReceivedCalls(
  plane: ControlPlane,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<number> {
  const coverage = await plane.get<{ readonly received: { readonly total: number } }>(
    `/v1/coverage?environment=${environment}&from=${from}&to=${to}`,
  );
  return coverage.received.total;
}
