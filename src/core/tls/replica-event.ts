/** What happens with the replicas of an endpoint: the words on the wire and in metrics. */
export const replicaEvents = ['retry', 'retry-denied', 'ejected', 'returned', 'unhealthy', 'healthy', 'panic'] as const;
export type ReplicaEvent = (typeof replicaEvents)[number];
