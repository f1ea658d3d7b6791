/** The mode of a path, weakest first. Only `enforce` refuses. */
export const modes = ['observe', 'permissive', 'enforce'] as const;
export type Mode = (typeof modes)[number];

/** How the caller's proxy speaks on a path. */
export type Origination = 'plaintext' | 'mtls' | 'tls';

/** The weaker of two modes: what a caller meets that could belong to either path. */
export function weakerMode(a: Mode, b: Mode): Mode {
  return modes.indexOf(a) <= modes.indexOf(b) ? a : b;
}
