/** Protocol versions from SSL 3.0 on by their codes, oldest first, with the names that policies use. */
export const protocolVersions = {
  'SSL 3.0': 0x0300,
  '1.0': 0x0301,
  '1.1': 0x0302,
  '1.2': 0x0303,
  '1.3': 0x0304,
} as const;
export type ProtocolVersion = keyof typeof protocolVersions;

/** `TLS 1.2`, `SSL 3.0`. */
export function protocolVersionName(version: ProtocolVersion): string {
  return version === 'SSL 3.0' ? version : `TLS ${version}`;
}
