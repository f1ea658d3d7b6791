/** The serial number of the certificate that was shown. */
export const SERIAL_FIELD = 'x-countersign-peer-serial';
/** `true` while the certificate that was shown is not past its end; anything else is no answer to trust. */
export const FRESH_FIELD = 'x-countersign-peer-fresh';
const END_FIELD = 'x-countersign-peer-end';

/**
 * What Envoy writes of a connection's certificate into each call before it chooses a route, one after the other: rules can look at fields of a call alone. All are taken
 * off what arrives and off what goes to the service.
 */
export const peerFields: ReadonlyMap<string, string> = new Map([
  [SERIAL_FIELD, '%DOWNSTREAM_PEER_SERIAL%'],
  [END_FIELD, '%DOWNSTREAM_PEER_CERT_V_END(%s)%'],
  [FRESH_FIELD, `%CEL(int(request.headers['${END_FIELD}']) >= int(request.time))%`],
]);
