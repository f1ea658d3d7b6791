import type { ProtocolVersion } from '../tls/protocol-version.ts';

/** What one TLS endpoint said to a scan, without judgement. Codes are IANA's; certificates are DER. */
export type Posture =
  | { readonly kind: 'unreachable'; readonly because: string }
  /** Connections are taken, and no ClientHello is answered as TLS. */
  | { readonly kind: 'no-tls'; readonly plaintext: PlaintextAnswer | null }
  | TlsPosture;

export type TlsPosture = {
  readonly kind: 'tls';
  /** Oldest first. */
  readonly versions: readonly ProtocolVersion[];
  /** Of the newest version before TLS 1.3 that is spoken, in the order in which the server chose them. */
  readonly olderSuites: readonly number[];
  /** Whether the server's order of suites wins over the client's; null: there is nothing to choose. */
  readonly serverOrders: boolean | null;
  readonly tls13Suites: readonly number[];
  /** In the order of the server's choice. */
  readonly groups: { readonly tls13: readonly number[]; readonly older: readonly number[] };
  /** Bits of the prime of a finite-field exchange before TLS 1.3; null: none is done. */
  readonly primeBits: number | null;
  /** Schemes in which the server signs its handshake. */
  readonly schemes: { readonly tls13: readonly number[]; readonly tls12: readonly number[] };
  /** Protocols that ALPN agreed upon, of those asked for. */
  readonly protocols: readonly string[];
  readonly clientCertificate: ClientCertificateDemand;
  /** TLS compression was accepted (RFC 3749). */
  readonly compresses: boolean;
  /** renegotiation_info was answered (RFC 5746); null: nothing older than TLS 1.3 is spoken. */
  readonly renegotiatesSecurely: boolean | null;
  /** A client of TLS 1.2 could begin to renegotiate; null: not asked, or no handshake ended well. */
  readonly renegotiatesForClients: boolean | null;
  /** By version, whether a session was resumed; null: not asked, or no handshake ended well. */
  readonly resumes: { readonly tls13: boolean | null; readonly tls12: boolean | null };
  /** Octets of early data that a ticket allows (RFC 8446 section 4.2.10); 0 is none. */
  readonly earlyDataOctets: number;
  /** Each chain that was served, leaf first, in the order of the wire. */
  readonly chains: readonly ServedChain[];
  readonly plaintext: PlaintextAnswer | null;
  /** The answer to a GET on TLS; null: it is not HTTP/1.1, or nobody may ask without a certificate. */
  readonly http: HttpAnswer | null;
  /** What could not be learnt, in words. */
  readonly gaps: readonly string[];
  readonly connections: number;
};

export type ServedChain = { readonly certificates: readonly Uint8Array[]; readonly staple: Uint8Array | null };

/** Without a certificate: `none` is asked for; `required`: the handshake or the call is refused; `optional`: asked for and done without. */
export type ClientCertificateDemand = {
  readonly kind: 'none' | 'optional' | 'required' | 'unknown';
  readonly evidence: string;
};

/** The first line of a plaintext answer on the port, and where it sends to. */
export type PlaintextAnswer = { readonly statusLine: string; readonly location: string | null };

/** Field names in lower case. */
export type HttpAnswer = { readonly statusLine: string; readonly fields: ReadonlyMap<string, string> };
