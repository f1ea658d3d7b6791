import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../time/instant.ts';
import type { BasicConstraints, KeyUsageBit } from '../x509/extensions.ts';
import type { LintException } from '../x509/lint-rule.ts';
import { oids } from '../x509/oid.ts';
import type { PublicKeyKind } from '../x509/public-key.ts';
import type { PermittedNames } from './permitted-names.ts';

/** By which way a request comes in; `external`: to be passed on to another CA. */
export const doors = ['rest', 'join', 'renewal', 'drill', 'control-plane', 'acme', 'est', 'scep', 'cmp', 'external', 'import'] as const;
export type Door = (typeof doors)[number];

/** Who asks, as the door has proved: the role of a token's holder, or what a machine is. */
export type AskerRole =
  | 'admin'
  | 'operator'
  | 'auditor'
  | 'partner-manager'
  | 'ci'
  | 'viewer'
  /** A proxy, by its join token or its current certificate. */
  | 'data-plane'
  /** The scanner, by the same, with the probe identity. */
  | 'scanner'
  /** The control plane itself. */
  | 'control-plane'
  /** An ACME account that no operator bound to a role. */
  | 'acme-account'
  /** Whoever holds the certificate that is renewed, as the handshake proved, and is no data plane. */
  | 'holder';

/** A flaw that a drill's credential has on purpose. */
export const drillFlaws = ['expired', 'not-yet-valid', 'wrong-usage'] as const;
export type DrillFlaw = (typeof drillFlaws)[number];

/**
 * Which names a certificate may carry. `workload`: one SPIFFE ID of a service, with DNS names and addresses beside it if it wants.
 * `server`: DNS names and addresses alone. The others: the reserved identities. `authority`, `responder`, `message-signer`: a distinguished name alone.
 */
export type NameRule = 'workload' | 'server' | 'control-plane' | 'probe' | 'drill' | 'authority' | 'responder' | 'message-signer';

export type KeyRule = {
  readonly curves: readonly Extract<PublicKeyKind, { kind: 'ec' }>['curve'][];
  readonly ed25519: boolean;
  /** Null: no RSA. */
  readonly rsaBits: { readonly min: number; readonly max: number } | null;
};

/** What a certificate may be, and who may ask for it by which door. */
export type Profile = {
  readonly name: ProfileName;
  readonly askers: { readonly [D in Door]?: readonly AskerRole[] };
  readonly names: NameRule;
  readonly keys: KeyRule;
  readonly keyUsage: readonly KeyUsageBit[];
  /** Purposes as dotted identifiers. */
  readonly extendedKeyUsage: readonly string[];
  readonly basicConstraints: BasicConstraints;
  /** From the moment of issuance to the end of the validity. */
  readonly lifetimeMs: { readonly min: number; readonly usual: number; readonly max: number };
  /** How far notBefore lies back for clocks that are slow, at most; never more than a tenth of the lifetime. */
  readonly backdateMs: number;
  /**
   * `distribution-point`: a CRL shard; `ocsp`: that and a responder; `no-check`: an OCSP responder's own, which nobody asks about;
   * `not-available`: too short-lived for either, and says so (RFC 9608); `none`: nothing is said (roots).
   */
  readonly revocation: 'distribution-point' | 'ocsp' | 'no-check' | 'not-available' | 'none';
  /** Flaws that may be asked for, each with the lint rules that it then may break. */
  readonly flaws: { readonly [F in DrillFlaw]?: readonly LintException[] };
  /** Who may ask by a door, by name; absent: whoever has the role. */
  readonly identities?: { readonly [D in Door]?: ReadonlySet<string> };
  /** Absent: any name that the rule of names allows. */
  readonly permits?: PermittedNames;
  /** Absent: nobody needs to approve. */
  readonly approvals?: { readonly count: number; readonly role: AskerRole; readonly withinMs: number };
  /** How long after its end a certificate may still be renewed by its holder; absent: not at all. */
  readonly renewalGraceMs?: number;
  /** A key may be made here and given out with its certificate; absent: whoever asks makes it. */
  readonly serverKeys?: true;
  /** Who holds one of its certificates may be given further ones with their keys, by SDS, for an Envoy that others run; absent: nobody. */
  readonly remoteKeys?: true;
  /** Of the content of a declared profile; absent for those that come with the product. */
  readonly digest?: string;
};

/** A profile of the product, or one that was declared. */
export type ProfileName = BuiltInProfile | (string & { readonly brand: 'ProfileName' });

export type BuiltInProfile =
  | 'root'
  | 'issuing'
  | 'workload'
  | 'server'
  | 'server-shortlived'
  | 'control-plane'
  | 'probe'
  | 'drill'
  | 'ocsp-signer'
  | 'cmp-signer'
  | 'scep-ra';

const YEAR_MS = 365 * DAY_MS;
const allKeys: KeyRule = { curves: ['P-256', 'P-384', 'P-521'], ed25519: true, rsaBits: { min: 2_048, max: 4_096 } };
/** An authority's key outlives its leaves': RSA below 3072 is good until 2030 only (NIST SP 800-57). */
const authorityKeys: KeyRule = { ...allKeys, rsaBits: { min: 3_072, max: 4_096 } };
const noFlaws = {};
const MAX_BACKDATE_MS = 5 * MINUTE_MS;

const workload: Profile = {
  name: 'workload',
  askers: {
    join: ['data-plane'],
    renewal: ['data-plane', 'holder'],
    rest: ['admin', 'operator', 'ci'],
    est: ['admin', 'operator', 'ci'],
    scep: ['admin', 'operator', 'ci'],
    cmp: ['admin', 'operator', 'ci'],
  },
  names: 'workload',
  keys: allKeys,
  keyUsage: ['digitalSignature'],
  extendedKeyUsage: [oids.serverAuth, oids.clientAuth],
  basicConstraints: { ca: false, pathLength: null },
  lifetimeMs: { min: SECOND_MS, usual: 24 * HOUR_MS, max: 30 * DAY_MS },
  backdateMs: MAX_BACKDATE_MS,
  revocation: 'distribution-point',
  flaws: noFlaws,
};

const server: Profile = {
  ...workload,
  name: 'server',
  // By ACME whoever proved the names; a bound account asks in the role of its binding.
  askers: {
    rest: ['admin', 'operator', 'ci'],
    renewal: ['holder'],
    acme: ['acme-account', 'admin', 'operator', 'partner-manager', 'ci'],
    est: ['admin', 'operator', 'ci'],
    scep: ['admin', 'operator', 'ci'],
    cmp: ['admin', 'operator', 'ci'],
    external: ['admin', 'operator', 'ci'],
  },
  names: 'server',
  extendedKeyUsage: [oids.serverAuth],
  revocation: 'ocsp',
  lifetimeMs: { min: SECOND_MS, usual: 90 * DAY_MS, max: 199 * DAY_MS },
};

/** The profiles that come with the product. */
export const profiles: { readonly [N in BuiltInProfile]: Profile } = {
  root: {
    ...workload,
    name: 'root',
    askers: { 'control-plane': ['admin', 'control-plane'] },
    names: 'authority',
    keys: authorityKeys,
    keyUsage: ['keyCertSign', 'cRLSign'],
    extendedKeyUsage: [],
    basicConstraints: { ca: true, pathLength: null },
    // CA/B BR 7.1.2.1.1: 8 to 25 years where the public trusts it.
    lifetimeMs: { min: HOUR_MS, usual: 15 * YEAR_MS, max: 25 * YEAR_MS },
    revocation: 'none',
  },
  issuing: {
    ...workload,
    name: 'issuing',
    askers: { 'control-plane': ['admin', 'control-plane'] },
    names: 'authority',
    keys: authorityKeys,
    keyUsage: ['keyCertSign', 'cRLSign'],
    basicConstraints: { ca: true, pathLength: 0 },
    lifetimeMs: { min: HOUR_MS, usual: 5 * YEAR_MS, max: 10 * YEAR_MS },
  },
  workload,
  server,
  'server-shortlived': {
    ...server,
    name: 'server-shortlived',
    lifetimeMs: { min: SECOND_MS, usual: 6 * DAY_MS, max: 7 * DAY_MS },
    revocation: 'not-available',
  },
  'ocsp-signer': {
    ...workload,
    name: 'ocsp-signer',
    askers: { 'control-plane': ['control-plane'] },
    names: 'responder',
    extendedKeyUsage: [oids.ocspSigning],
    // Whoever has the key can answer for all until it ends, and nobody asks whether it is revoked: so it ends soon.
    lifetimeMs: { min: HOUR_MS, usual: 7 * DAY_MS, max: 14 * DAY_MS },
    revocation: 'no-check',
  },
  'cmp-signer': {
    ...workload,
    name: 'cmp-signer',
    askers: { 'control-plane': ['control-plane'] },
    names: 'message-signer',
    extendedKeyUsage: [oids.cmcCa],
    // Whoever has the key can answer devices in the authority's name until it ends.
    lifetimeMs: { min: HOUR_MS, usual: 7 * DAY_MS, max: 14 * DAY_MS },
  },
  'scep-ra': {
    ...workload,
    name: 'scep-ra',
    askers: { 'control-plane': ['control-plane'] },
    names: 'message-signer',
    // SCEP encrypts to RSA alone (RFC 8894 section 3.2).
    keys: { curves: [], ed25519: false, rsaBits: authorityKeys.rsaBits },
    keyUsage: ['digitalSignature', 'keyEncipherment'],
    extendedKeyUsage: [oids.cmcRa],
    lifetimeMs: { min: HOUR_MS, usual: YEAR_MS, max: 398 * DAY_MS },
  },
  'control-plane': {
    ...workload,
    name: 'control-plane',
    askers: { 'control-plane': ['control-plane'] },
    names: 'control-plane',
    lifetimeMs: { min: SECOND_MS, usual: 7 * DAY_MS, max: 30 * DAY_MS },
  },
  probe: {
    ...workload,
    name: 'probe',
    askers: { join: ['scanner'], renewal: ['scanner'] },
    names: 'probe',
  },
  drill: {
    ...workload,
    name: 'drill',
    askers: { drill: ['scanner'] },
    names: 'drill',
    lifetimeMs: { min: SECOND_MS, usual: HOUR_MS, max: 24 * HOUR_MS },
    flaws: {
      expired: ['validity-ended'],
      'not-yet-valid': ['validity-not-begun'],
      'wrong-usage': ['svid-purposes'],
    },
  },
};

/** The profile of the product that has this name; null: there is none. */
export function builtInProfile(name: ProfileName): Profile | null {
  return Object.hasOwn(profiles, name) ? profiles[name as BuiltInProfile] : null;
}

/** The profile by which a data plane of this identity joins and renews: the probe has its own. */
export function profileForJoin(role: Extract<AskerRole, 'data-plane' | 'scanner'>): 'workload' | 'probe' {
  return role === 'scanner' ? 'probe' : 'workload';
}
