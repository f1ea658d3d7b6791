import { describeReason, type Reason } from '../core/rollout/reason.ts';
import { openClient } from './client.ts';
import type { Run } from './command.ts';
import { namedRollouts } from './rollout-names.ts';

type Status = {
  readonly name: string;
  readonly environment: string;
  readonly status: string;
  readonly waves: readonly { readonly wave: number; readonly stages: { readonly [stage: string]: number } }[];
  readonly holds: readonly { readonly reason: Reason; readonly endedAt: number | null }[];
  readonly rollbacks: readonly { readonly at: number; readonly reasons: readonly Reason[] }[];
};

/** `countersign rollout status`. */
export const run: Run = async (invocation) => {
  const client = openClient(invocation);
  const rollouts = await namedRollouts(client, invocation);
  const found = await Promise.all(
    rollouts.map(({ name, environment }) =>
      client.get<Status>(`/v1/rollouts/${encodeURIComponent(name)}?environment=${encodeURIComponent(environment)}`),
    ),
  );
  invocation.output.answer({ rollouts: found }, () => found.flatMap(describeStatus));
  return 'ok';
};

function describeStatus({ name, environment, status, waves, holds, rollbacks }: Status): string[] {
  return [
    `${environment}/${name}: ${status}`,
    ...waves.map((wave) => `  wave ${wave.wave}: ${stages(wave.stages)}`),
    ...holds.filter(({ endedAt }) => endedAt === null).map(({ reason }) => `  holds: ${describeReason(reason)}`),
    ...rollbacks.flatMap(({ at, reasons }) =>
      reasons.map((reason) => `  rolled back ${new Date(at).toISOString()}: ${describeReason(reason)}`),
    ),
  ];
}

function stages(counts: { readonly [stage: string]: number }): string {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([stage, count]) => `${stage} ${count}`)
    .join(', ');
}
