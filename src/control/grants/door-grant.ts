import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Role } from '../access/role.ts';
import type { CertificateKey, CertificateNames } from '../ca/certificate-store.ts';

/**
 * The doors at which one shows a grant: by a MAC key that binds an ACME account, by a secret that protects messages of CMP, by the text of a challenge of SCEP. `entry`: how the log
 * calls it; `noun`: how problems do. `holds`: what it began goes on under it, so that it may be taken back when it is used up too.
 */
export const grantDoors = {
  acme: { entry: 'acme-binding', noun: 'binding token', holds: false },
  cmp: { entry: 'cmp-secret', noun: 'CMP secret', holds: true },
  scep: { entry: 'scep-challenge', noun: 'challenge', holds: false },
} as const satisfies { readonly [door: string]: { readonly entry: string; readonly noun: string; readonly holds: boolean } };

export type GrantDoor = keyof typeof grantDoors;

/** What somebody may ask for at one door, a number of times: for whom, which profile, what it is bound to, until when, by whom it was made, and what became of it. */
export type DoorGrant = {
  readonly id: EntityId<'token'>;
  readonly door: GrantDoor;
  readonly environment: string;
  readonly region: string;
  /** Whom it is for, as the log calls them; null: nobody said. It decides nothing. */
  readonly name: string | null;
  /** In which it asks. */
  readonly role: Role;
  /** Null: for whatever the role may have. */
  readonly bounds: GrantBounds | null;
  /** How many times it is good, and how many times it was used. */
  readonly uses: number;
  readonly used: number;
  /** Null: made before this was kept. */
  readonly maker: GrantMaker | null;
  readonly createdAt: Instant;
  readonly expiresAt: Instant;
  readonly revokedAt: Instant | null;
  /** Null: none, or it was before this was kept. */
  readonly lastUse: GrantUse | null;
};

/** One profile and exactly these names, in their one spelling. */
export type GrantBounds = {
  readonly profile: ProfileName;
  readonly spiffeId: SpiffeId | null;
  readonly names: CertificateNames;
  /** Null: as long as the profile lets it last. */
  readonly maxLifetimeMs: number | null;
};

/** A grant falls with the token by which it was made. */
export type GrantMaker = { readonly name: string; readonly kind: 'person' | 'machine'; readonly tokenId: EntityId<'token'> };

export type GrantUse = {
  readonly at: Instant;
  /** What used it, in the words of the protocol: an account, a transaction. */
  readonly by: string;
  /** SHA-256 of the key that asked, hex; null: an account did. */
  readonly spkiSha256: string | null;
  /** What waits for approval. */
  readonly requestId: EntityId<'request'> | null;
  readonly certificate: CertificateKey | null;
};

/** What the row alone has against it; null: nothing. */
export function faultOf({ used, uses, revokedAt, expiresAt }: DoorGrant, now: Instant): string | null {
  if (used >= uses) return 'used';
  if (revokedAt !== null) return 'revoked';
  return expiresAt <= now ? 'expired' : null;
}

/** The bounds of a grant of a door that makes none without. */
export function boundsOf({ id, bounds }: DoorGrant): GrantBounds {
  if (bounds === null) throw new Error(`grant ${id} has no bounds`);
  return bounds;
}
