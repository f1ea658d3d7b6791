/** CRC-32C (Castagnoli polynomial, reflected), as the PROXY protocol takes it from RFC 4960 appendix B. */
export function crc32c(octets: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const octet of octets) crc = (crc >>> 8) ^ TABLE[(crc ^ octet) & 0xff]!;
  return (crc ^ 0xffff_ffff) >>> 0;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f6_3b78 : value >>> 1;
  return value;
});
