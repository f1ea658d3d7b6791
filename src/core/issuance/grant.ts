import type { SpiffeId } from '../identity/spiffe-id.ts';
import type { Door, ProfileName } from './profile.ts';

/** What one credential may ask for, beside what its role may: all of it is a bound, nothing of it a right that the profile does not give. */
export type Grant = {
  /** What granted it, for the log: `<provider>/<rule>`. */
  readonly source: string;
  readonly environment: string;
  readonly doors: readonly Door[];
  readonly profiles: readonly ProfileName[];
  /** The one identity; null: none. */
  readonly spiffeId: SpiffeId | null;
  /** Exactly these names, in their one spelling. */
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly maxLifetimeMs: number;
  /** A request uses the credential up when it is filed, so that it rests on nothing that could be taken back but the request. Absent: it rests on what granted it. */
  readonly spent?: true;
};
