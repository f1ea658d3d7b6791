import { describeReason, type Reason } from '../core/rollout/reason.ts';
import { openClient } from './client.ts';
import type { Run } from './command.ts';
import { namedRollouts } from './rollout-names.ts';

type Plan = {
  readonly paths?: readonly {
    readonly pathId: string;
    readonly caller: string;
    readonly stage: string;
    readonly reasons?: readonly Reason[];
  }[];
  readonly endpoints?: readonly { readonly endpointId: string; readonly reasons?: readonly Reason[] }[];
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
  const paths = (plan.paths ?? []).flatMap(({ pathId, caller, stage, reasons = [] }) => [
    `  ${pathId} ${caller} ${stage}`,
    ...reasons.map((reason) => `    - ${describeReason(reason)}`),
  ]);
  const endpoints = (plan.endpoints ?? []).flatMap(({ endpointId, reasons = [] }) =>
    reasons.map((reason) => `  ${endpointId}: ${describeReason(reason)}`),
  );
  return [`${plan.environment}/${plan.name}`, ...paths, ...endpoints];
}
