import { RoutingPriority } from '../messages/generated/envoy/config/core/v3/base_pb.ts';

/** Callers are limited at the ports; nothing here turns away what a port let in. */
export function breakers(retryBudget?: { readonly percent: number; readonly minimum: number }) {
  return {
    priority: RoutingPriority.DEFAULT,
    maxConnections: UNLIMITED,
    maxPendingRequests: UNLIMITED,
    maxRequests: UNLIMITED,
    maxRetries: UNLIMITED,
    ...(retryBudget === undefined
      ? {}
      : { retryBudget: { budgetPercent: { value: retryBudget.percent }, minRetryConcurrency: retryBudget.minimum } }),
  };
}

const UNLIMITED = 1_000_000;
