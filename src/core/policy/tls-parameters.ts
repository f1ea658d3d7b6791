/** TLS versions that a policy may name. TLS 1.0 and 1.1 are not among them (RFC 8996). */
export const tlsVersions = ['1.2', '1.3'] as const;
export type TlsVersion = (typeof tlsVersions)[number];

/** IANA protocol versions. */
export const tlsVersionNumbers = { '1.2': 0x0303, '1.3': 0x0304 } as const satisfies Record<TlsVersion, number>;

/** Key agreement groups by their OpenSSL names, with what each is worth. */
export const tlsGroups = {
  X25519MLKEM768: { bits: 192, isPostQuantum: true },
  SecP256r1MLKEM768: { bits: 192, isPostQuantum: true },
  SecP384r1MLKEM1024: { bits: 256, isPostQuantum: true },
  X25519: { bits: 128, isPostQuantum: false },
  'P-256': { bits: 128, isPostQuantum: false },
  'P-384': { bits: 192, isPostQuantum: false },
} as const;
export type TlsGroup = keyof typeof tlsGroups;

/** TLS 1.2 suites with forward secrecy and authenticated encryption, by their OpenSSL names (RFC 9325 section 4.2). No other can be asked for. */
export const tlsSuites = {
  'ECDHE-ECDSA-AES128-GCM-SHA256': { iana: 0xc02b },
  'ECDHE-ECDSA-AES256-GCM-SHA384': { iana: 0xc02c },
  'ECDHE-RSA-AES128-GCM-SHA256': { iana: 0xc02f },
  'ECDHE-RSA-AES256-GCM-SHA384': { iana: 0xc030 },
  'ECDHE-RSA-CHACHA20-POLY1305': { iana: 0xcca8 },
  'ECDHE-ECDSA-CHACHA20-POLY1305': { iana: 0xcca9 },
} as const;
export type TlsSuite = keyof typeof tlsSuites;

/** What either side may sign a handshake with: no SHA-1 and SHA-224, and no DSA, which OpenSSL still offers in TLS 1.2. */
export const signatureAlgorithms = [
  'ecdsa_secp256r1_sha256',
  'ecdsa_secp384r1_sha384',
  'ecdsa_secp521r1_sha512',
  'ed25519',
  'mldsa65',
  'mldsa87',
  'mldsa44',
  'rsa_pss_rsae_sha256',
  'rsa_pss_rsae_sha384',
  'rsa_pss_rsae_sha512',
  'rsa_pss_pss_sha256',
  'rsa_pss_pss_sha384',
  'rsa_pss_pss_sha512',
  'rsa_pkcs1_sha256',
  'rsa_pkcs1_sha384',
  'rsa_pkcs1_sha512',
] as const;
