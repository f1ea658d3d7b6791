/** The resource types that a data plane can subscribe to over ADS (xDS v3 naming). */
export const SETTINGS_TYPE = 'type.googleapis.com/countersign.v1.ProxySettings';
export const TRUST_BUNDLE_TYPE = 'type.googleapis.com/countersign.v1.TrustBundle';
export const REVOKED_SET_TYPE = 'type.googleapis.com/countersign.v1.RevokedSet';
export const TICKET_KEYS_TYPE = 'type.googleapis.com/countersign.v1.TicketKeys';
export const OCSP_STAPLE_TYPE = 'type.googleapis.com/countersign.v1.OcspStaple';
export const DRILL_JOB_TYPE = 'type.googleapis.com/countersign.v1.DrillJob';
