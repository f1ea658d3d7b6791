import type { Demand } from './demand.ts';
import { httpDemands } from './http-demands.ts';
import { groupNamesOf, describeProgram } from './proxy-program.ts';
import type { RenderOrder } from './render-order.ts';
import { refused } from './rendered-value.ts';
import { tlsDemands } from './tls-demands.ts';

/** Everything that can be demanded. One table: remarks, refusals and the page of the documents come from it. */
export const demands = { ...tlsDemands, ...httpDemands } as const satisfies { readonly [name: string]: Demand };
export type DemandName = keyof typeof demands;

/** A demand of an order that the proxy does not meet, with the reason. */
export type Gap = { readonly demand: DemandName; readonly weight: Demand['weight']; readonly why: string };

/** What of the order the proxy will not do, in the order of the table. @throws input-invalid if it has no group in common with the policy */
export function gapsOf(order: RenderOrder): readonly Gap[] {
  const { program, policy } = order;
  const known = groupNamesOf(program);
  if (!policy.tls.groups.some((group) => known.has(group))) {
    throw refused(
      'groups',
      policy.tls.groups.join(', '),
      `of ${[...known.keys()].join(', ')}, which is all that ${describeProgram(program)} speaks`,
    );
  }
  return (Object.entries(demands) as [DemandName, Demand][]).flatMap(([demand, { weight, isMade, by }]) => {
    const why = isMade(order) ? by[program.kind].gap(order) : null;
    return why === null ? [] : [{ demand, weight, why }];
  });
}
