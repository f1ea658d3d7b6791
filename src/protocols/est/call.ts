import type { EstTarget } from './label.ts';

/** A request, as far as it was read: the body only once somebody is known to ask. */
export type EstCall = {
  readonly target: EstTarget;
  readonly authorization: string | undefined;
  readonly contentType: string;
  /** @throws body-too-large, input-invalid */
  readonly readBody: () => Promise<string>;
  /** What the client presented, DER, leaf first; empty: nothing. */
  readonly peerChain: () => readonly Uint8Array[];
  /** What binds a CSR to this session; null: nothing does. */
  readonly binding: () => string | null;
};
