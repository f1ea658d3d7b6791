/** Every metric that Countersign exposes; docs/reference/metrics.md comes from this table. Units are in the names (OpenMetrics). */
export const metricTable = {
  countersign_certificates_issued_total: {
    kind: 'counter',
    help: 'Certificates issued, by door and profile.',
    labels: ['door', 'profile'],
  },
  countersign_connections_refused_total: {
    kind: 'counter',
    help: 'Connections and calls that the control plane refused a data plane, by reason.',
    labels: ['reason'],
  },
  countersign_data_plane_streams: { kind: 'gauge', help: 'Open ADS streams.', labels: [] },
  countersign_log_entries: { kind: 'gauge', help: 'Size of the audit log tree.', labels: [] },
  countersign_reconcile_failures_total: {
    kind: 'counter',
    help: 'Runs of a reconciler that threw, by reconciler.',
    labels: ['reconciler'],
  },
  countersign_reconcile_seconds_total: { kind: 'counter', help: 'Wall time spent in a reconciler, by reconciler.', labels: ['reconciler'] },
  countersign_requests_total: { kind: 'counter', help: 'REST requests, by route and status.', labels: ['route', 'status'] },
  countersign_settings_pushes_total: {
    kind: 'counter',
    help: 'Resources pushed to data planes, by type and answer.',
    labels: ['type', 'answer'],
  },
  countersign_telemetry_reports_total: { kind: 'counter', help: 'Telemetry reports, by what became of them.', labels: ['result'] },
} as const satisfies Record<string, { readonly kind: 'counter' | 'gauge'; readonly help: string; readonly labels: readonly string[] }>;

export type MetricName = keyof typeof metricTable;
