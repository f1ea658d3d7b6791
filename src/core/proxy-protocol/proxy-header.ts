/** The two ends of the connection that a load balancer took in place of us. */
export type ProxiedEnds = {
  readonly source: { readonly host: string; readonly port: number };
  readonly destination: { readonly host: string; readonly port: number };
};

/** What a PROXY protocol header said. `ends` is null where the sender speaks for itself (LOCAL) or does not know. */
export type ProxyHeader = { readonly version: 1 | 2; readonly ends: ProxiedEnds | null };

/** Types of TLVs in a header of version 2 (section 2.2). */
export const tlvTypes = { alpn: 0x01, authority: 0x02, crc32c: 0x03, ssl: 0x20, sslVersion: 0x21, sslCipher: 0x23 } as const;

export const V2_SIGNATURE: Buffer = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
export const V1_PREFIX = 'PROXY ';
