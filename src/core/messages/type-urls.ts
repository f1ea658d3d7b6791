/** The resource types that a data plane can subscribe to over ADS (xDS v3 naming). */
export const SETTINGS_TYPE = 'type.googleapis.com/countersign.v1.ProxySettings';
export const TRUST_BUNDLE_TYPE = 'type.googleapis.com/countersign.v1.TrustBundle';
export const REVOKED_SET_TYPE = 'type.googleapis.com/countersign.v1.RevokedSet';
export const TICKET_KEYS_TYPE = 'type.googleapis.com/countersign.v1.TicketKeys';
export const OCSP_STAPLE_TYPE = 'type.googleapis.com/countersign.v1.OcspStaple';
export const DRILL_JOB_TYPE = 'type.googleapis.com/countersign.v1.DrillJob';

/** The types of Envoy, which its own streams ask for. */
export const CLUSTER_TYPE = 'type.googleapis.com/envoy.config.cluster.v3.Cluster';
export const ENDPOINT_TYPE = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment';
export const SECRET_TYPE = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';
export const LISTENER_TYPE = 'type.googleapis.com/envoy.config.listener.v3.Listener';
export const ROUTE_TYPE = 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration';
