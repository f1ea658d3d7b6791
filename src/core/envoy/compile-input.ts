import type { ProxySettings, RevokedSet, TrustBundle } from '../messages/generated/countersign/v1/settings_pb.ts';

/** All that an Envoy's resources are made of. */
export type EnvoyInput = {
  readonly settings: ProxySettings;
  /** The settings' own trust domain, and those of callers from others. */
  readonly trust: readonly TrustBundle[];
  readonly revoked: RevokedSet;
  /** The list of each issuing authority, whole and for no scope, by the SHA-256 of its key in lower-case hex. DER. */
  readonly crls: ReadonlyMap<string, Uint8Array>;
};
