import type { Protocol } from './proxy-settings.ts';

/** What a port offers by ALPN (RFC 7301); a client that offers nothing speaks as the protocol of the port is. */
export const servedAlpn: { readonly [protocol in Protocol]: readonly string[] } = { http: ['http/1.1'], grpc: ['h2'], tcp: [] };

/** What we offer as a client. Between proxies an HTTP/1.1 call stays one: to translate it twice would only cost. */
export const originatedAlpn: { readonly [protocol in Protocol]: readonly string[] } = { http: ['http/1.1'], grpc: ['h2'], tcp: [] };
