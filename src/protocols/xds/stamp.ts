/** How far the state was that a resource was made from; each number only rises. */
export type Stamp = {
  /** Of the proxy's settings. */
  readonly generation: number;
  /** Sequences of the trust bundle and the revoked set. */
  readonly trust: number;
  readonly revoked: number;
};

export const NO_STAMP: Stamp = { generation: 0, trust: 0, revoked: 0 };

/** A version on the wire: `GENERATION.TRUST.REVOKED.DIGEST`. */
export function versionOf({ generation, trust, revoked }: Stamp, digest: string): string {
  return `${generation}.${trust}.${revoked}.${digest}`;
}

/** The state that a version tells of; null if it is none of ours. */
export function stampOf(version: string): Stamp | null {
  const found = /^(0|[1-9]\d{0,14})\.(0|[1-9]\d{0,14})\.(0|[1-9]\d{0,14})\.[0-9a-f]{1,64}$/.exec(version);
  return found === null ? null : { generation: Number(found[1]), trust: Number(found[2]), revoked: Number(found[3]) };
}

/** The furthest of both in each number. */
export function furthest(a: Stamp, b: Stamp): Stamp {
  return {
    generation: Math.max(a.generation, b.generation),
    trust: Math.max(a.trust, b.trust),
    revoked: Math.max(a.revoked, b.revoked),
  };
}

/** True if in some number the first stands before the second: a state that was restored from a copy, or another installation's. */
export function isBehind(a: Stamp, b: Stamp): boolean {
  return a.generation < b.generation || a.trust < b.trust || a.revoked < b.revoked;
}
