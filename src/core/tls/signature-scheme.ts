/** Signature schemes of handshakes by their codes (IANA, RFC 8446 section 4.2.3), in the order in which they are offered. */
export const signatureSchemes: ReadonlyMap<number, string> = new Map([
  [0x0403, 'ecdsa_secp256r1_sha256'],
  [0x0503, 'ecdsa_secp384r1_sha384'],
  [0x0603, 'ecdsa_secp521r1_sha512'],
  [0x0807, 'ed25519'],
  [0x0808, 'ed448'],
  [0x0904, 'mldsa44'],
  [0x0905, 'mldsa65'],
  [0x0906, 'mldsa87'],
  [0x0804, 'rsa_pss_rsae_sha256'],
  [0x0805, 'rsa_pss_rsae_sha384'],
  [0x0806, 'rsa_pss_rsae_sha512'],
  [0x0809, 'rsa_pss_pss_sha256'],
  [0x080a, 'rsa_pss_pss_sha384'],
  [0x080b, 'rsa_pss_pss_sha512'],
  [0x0401, 'rsa_pkcs1_sha256'],
  [0x0501, 'rsa_pkcs1_sha384'],
  [0x0601, 'rsa_pkcs1_sha512'],
  [0x0303, 'ecdsa_sha224'],
  [0x0301, 'rsa_pkcs1_sha224'],
  [0x0203, 'ecdsa_sha1'],
  [0x0201, 'rsa_pkcs1_sha1'],
  [0x0202, 'dsa_sha1'],
  [0x0101, 'rsa_pkcs1_md5'],
]);

export function signatureSchemeName(code: number): string {
  return signatureSchemes.get(code) ?? `0x${code.toString(16).padStart(4, '0')}`;
}

/** What TLS 1.3 allows in CertificateVerify: no PKCS#1 v1.5, no hash below SHA-256 (RFC 8446 section 4.2.3). */
export const tls13Schemes: readonly number[] = [...signatureSchemes.keys()].filter((code) => code >> 8 >= 4 && (code & 0xff) !== 1);

/** Schemes with hashes for which collisions can be made (RFC 9155). */
export function isBrokenScheme(code: number): boolean {
  return code >> 8 === 1 || code >> 8 === 2;
}
