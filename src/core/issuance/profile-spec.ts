import { createHash } from 'node:crypto';
import { canonicalJson } from '../merkle/canonical-json.ts';
import { Problem } from '../problems/problem.ts';
import { DAY_MS, SECOND_MS } from '../time/instant.ts';
import { oids } from '../x509/oid.ts';
import { compileNames, type NamesSpec } from './permitted-names.ts';
import { type AskerRole, builtInProfile, type Door, type KeyRule, type Profile, type ProfileName, profiles } from './profile.ts';

/** The built-in profiles that a declared one can be made from, and that one of the same name replaces in its environment. */
export const profileBases = ['workload', 'server', 'server-shortlived'] as const;
export type ProfileBase = (typeof profileBases)[number];

/**
 * How often a certificate is replaced: the bounds of its longest life. `critical` 30 to 90 days, `standard` at most 180,
 * `short-lived` at most 24 hours.
 */
export const cadences = {
  critical: { min: 30 * DAY_MS, max: 90 * DAY_MS },
  standard: { min: SECOND_MS, max: 180 * DAY_MS },
  'short-lived': { min: SECOND_MS, max: DAY_MS },
} as const;
export type Cadence = keyof typeof cadences;

/** The doors that a declared profile can open. */
export const declaredDoors = ['rest', 'join', 'renewal', 'acme', 'est', 'scep', 'cmp', 'external'] as const satisfies readonly Door[];
export const purposes = ['serverAuth', 'clientAuth'] as const;
export const approverRoles = ['admin', 'operator', 'auditor', 'partner-manager'] as const;

export type Approvals = {
  /** Different persons, none of them who asked. */
  readonly count: number;
  /** Whoever's role covers it. */
  readonly role: (typeof approverRoles)[number];
  /** A request that waited longer has expired. */
  readonly withinMs: number;
};

export type AskerSpec = {
  readonly roles: readonly AskerRole[];
  /** Names of token holders, SPIFFE IDs or `acme:` with the id of an account; null: whoever has the role. */
  readonly identities: readonly string[] | null;
};

/** A declared profile as plain data: what is stored, and named by its digest. */
export type ProfileSpec = {
  readonly base: ProfileBase;
  readonly cadence: Cadence | null;
  readonly lifetimeMs: Profile['lifetimeMs'];
  readonly keys: KeyRule;
  readonly extendedKeyUsage: readonly (typeof purposes)[number][];
  readonly names: NamesSpec;
  readonly askers: { readonly [D in (typeof declaredDoors)[number]]?: AskerSpec };
  readonly approvals: Approvals | null;
  /** How long after its end a certificate may still be renewed by its holder. */
  readonly renewalGraceMs: number;
  /** `ocsp`: its certificates name a responder beside their list, and what serves them staples its answers. Absent: as the base has it. */
  readonly status?: (typeof declaredStatuses)[number];
  /** Keys may be made here for it; never where it is for servers. */
  readonly serverKeys?: true;
  /** Keys may be made here for its holders and handed out by SDS. */
  readonly remoteKeys?: true;
};

export const declaredStatuses = ['lists', 'ocsp'] as const;

/** A key that nobody watched for longer is not to be trusted again without a person. */
export const MAXIMUM_RENEWAL_GRACE_MS = 7 * DAY_MS;

/** The form of a profile's name wherever one is written. */
export const profileNamePattern = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** A name of the product is replaced by what is made from it only, and only where the product has no use of its own for it. @throws input-invalid */
export function checkProfileName(name: string, { base }: ProfileSpec): asserts name is ProfileName {
  if (!profileNamePattern.test(name))
    throw new Problem('input-invalid', `Cannot read profile: name holds ${name}, expected [a-z0-9-], at most 63`);
  if (builtInProfile(name as ProfileName) === null || name === base) return;
  throw new Problem(
    'input-invalid',
    `Cannot read profile: name holds ${name}, a profile of the product, expected base ${name} or another name`,
  );
}

/** SHA-256 over the canonical JSON of a declared profile, lower case hex. */
export function profileDigest(spec: ProfileSpec): string {
  return createHash('sha256').update(canonicalJson(spec)).digest('hex');
}

function revocationOf({ status }: ProfileSpec, base: Profile): Profile['revocation'] {
  if (status === undefined) return base.revocation;
  return status === 'ocsp' ? 'ocsp' : 'distribution-point';
}

/** Makes a declared profile ready for the evaluator: once, not at each request. @throws what `compileNames` throws */
export function compileProfile(name: ProfileName, spec: ProfileSpec): Profile {
  const base = profiles[spec.base];
  const askers = Object.entries(spec.askers) as [Door, AskerSpec][];
  return {
    ...base,
    name,
    askers: Object.fromEntries(askers.map(([door, { roles }]) => [door, roles])),
    identities: Object.fromEntries(
      askers.flatMap(([door, { identities }]) => (identities === null ? [] : [[door, new Set(identities)] as const])),
    ),
    keys: spec.keys,
    extendedKeyUsage: spec.extendedKeyUsage.map((purpose) => oids[purpose]),
    lifetimeMs: spec.lifetimeMs,
    // It has ended before a list that names it would have reached everybody, and says so (RFC 9608).
    revocation: spec.cadence === 'short-lived' ? 'not-available' : revocationOf(spec, base),
    permits: compileNames(spec.names),
    digest: profileDigest(spec),
    ...(spec.renewalGraceMs === 0 ? {} : { renewalGraceMs: spec.renewalGraceMs }),
    ...(spec.approvals === null ? {} : { approvals: spec.approvals }),
    ...(spec.serverKeys === undefined ? {} : { serverKeys: spec.serverKeys }),
    ...(spec.remoteKeys === undefined ? {} : { remoteKeys: spec.remoteKeys }),
  };
}
