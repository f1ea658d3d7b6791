/** Every metric that Countersign exposes; docs/reference/metrics.md comes from this table. Units are in the names (OpenMetrics). */
export const metricTable = {
  countersign_data_plane_connections: { kind: 'gauge', help: 'Open connections of data planes.', labels: [] },
  countersign_data_plane_refusals_total: {
    kind: 'counter',
    help: 'Calls and connections of data planes that were refused, by reason.',
    labels: ['reason'],
  },
  countersign_envoy_answers_total: { kind: 'counter', help: 'Resources that Envoys acknowledged or refused.', labels: ['answer'] },
  countersign_envoy_encodings_total: {
    kind: 'counter',
    help: "Resources of Envoy's types that were encoded: once for each content of a proxy, whatever the number of streams.",
    labels: [],
  },
  countersign_envoy_resources_refused: {
    kind: 'gauge',
    help: 'Resources that Envoys have in an older form, or not at all, because they refused them or would have.',
    labels: [],
  },
  countersign_envoys_connected: { kind: 'gauge', help: 'Envoys that have a stream to this process.', labels: [] },
  countersign_federated_fetches_total: {
    kind: 'counter',
    help: 'Fetches of bundles of other trust domains, by result: newer, same, failed (nothing usable came), refused (what came cannot be).',
    labels: ['result'],
  },
  countersign_log_entries_total: {
    kind: 'counter',
    help: 'Entries recorded in the audit log by this process, by type: what was issued, refused, revoked, ordered.',
    labels: ['type'],
  },
  countersign_log_size: { kind: 'gauge', help: 'Entries in the audit log, as of the last one that this process recorded.', labels: [] },
  countersign_reconcile_failures_total: {
    kind: 'counter',
    help: 'Runs of a reconciler that threw, by reconciler.',
    labels: ['reconciler'],
  },
  countersign_reconcile_seconds_total: { kind: 'counter', help: 'Wall time spent in a reconciler, by reconciler.', labels: ['reconciler'] },
  countersign_replica_events_total: {
    kind: 'counter',
    help: 'What callers reported of the replicas that they call, by event: calls sent again and not, replicas left out and back, found ill and well.',
    labels: ['event'],
  },
  countersign_requests_total: {
    kind: 'counter',
    help: 'Requests of REST, EST, SCEP, CMP and bundle endpoints, by route and status.',
    labels: ['route', 'status'],
  },
  countersign_settings_answers_total: { kind: 'counter', help: 'Settings that proxies acknowledged or refused.', labels: ['answer'] },
  countersign_telemetry_reports_total: { kind: 'counter', help: 'Telemetry reports, by what became of them.', labels: ['result'] },
} as const satisfies Record<string, { readonly kind: 'counter' | 'gauge'; readonly help: string; readonly labels: readonly string[] }>;

export type MetricName = keyof typeof metricTable;
