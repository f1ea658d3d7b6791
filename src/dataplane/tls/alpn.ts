import type { Protocol } from './proxy-settings.ts';

/** What a port offers by ALPN (RFC 7301), the best first; a client that offers nothing speaks as the protocol of the port is. */
export type ServedAlpn = { readonly [protocol in Protocol]: readonly string[] };

export const servedAlpn: ServedAlpn = { http: ['http/1.1'], grpc: ['h2'], tcp: [] };

/** What we offer as a client. Between proxies an HTTP/1.1 call stays one: to translate it twice would only cost. */
export const originatedAlpn: ServedAlpn = { http: ['http/1.1'], grpc: ['h2'], tcp: [] };
