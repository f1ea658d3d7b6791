import { describeReason, type Reason } from '../core/rollout/reason.ts';
import { openClient } from './client.ts';
import type { Run } from './command.ts';
import { namedRollouts } from './rollout-names.ts';

type Plan = {
  readonly paths?: readonly {
    readonly pathId: string;
    readonly caller: string;
    readonly stage: string;
    readonly holds?: readonly Reason[];
  }[];
  readonly endpoints?: readonly {
    readonly endpointId: string;
    readonly holds?: readonly Reason[];
    readonly excepted?: readonly { readonly name: string; readonly owner: string; readonly until: number; readonly count: number }[];
  }[];
};

/** `countersign rollout plan`: who would be refused, and why. */
export const run: Run = async (invocation) => {
  const client = openClient(invocation);
  const rollouts = await namedRollouts(client, invocation);
  const plans = await Promise.all(
    rollouts.map(async ({ name, environment }) => ({
      name,
      environment,
      ...(await client.get<Plan>(`/v1/rollouts/${encodeURIComponent(name)}/plan?environment=${encodeURIComponent(environment)}`)),
    })),
  );
  invocation.output.answer({ plans }, () => plans.flatMap(describePlan));
  return 'ok';
};

function describePlan(plan: Plan & { readonly name: string; readonly environment: string }): string[] {
  const paths = (plan.paths ?? []).flatMap(({ pathId, caller, stage, holds = [] }) => [
    `  ${pathId} ${caller} ${stage}`,
    ...holds.map((reason) => `    - ${describeReason(reason)}`),
  ]);
  const endpoints = (plan.endpoints ?? []).flatMap(({ endpointId, holds = [], excepted = [] }) => [
    ...holds.filter(({ pathId }) => pathId === undefined).map((reason) => `  ${endpointId}: ${describeReason(reason)}`),
    ...excepted.map(
      ({ name, owner, until, count }) =>
        `  ${endpointId}: exception ${name} of ${owner} stays let in without a certificate, ${count} in the window, until ${new Date(until).toISOString()}`,
    ),
  ]);
  return [`${plan.environment}/${plan.name}`, ...paths, ...endpoints];
}
