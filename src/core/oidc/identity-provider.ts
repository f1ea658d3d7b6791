import type { SpiffeId } from '../identity/spiffe-id.ts';
import type { TrustDomain } from '../identity/trust-domain.ts';
import type { Grant } from '../issuance/grant.ts';
import type { ProfileName } from '../issuance/profile.ts';
import { type Claims, readClaim } from './claim.ts';
import { type ClaimPattern, matchesClaim } from './claim-pattern.ts';
import { expandTemplate, parseNameTemplate, type TemplateKind } from './name-template.ts';

/** By which door a token may be used: for a certificate by REST or EST, to join as a declared proxy, or for one of another CA. */
export const tokenDoors = ['rest', 'join', 'est', 'external'] as const;
export type TokenDoor = (typeof tokenDoors)[number];

/** Which bearers of an issuer's tokens may ask for what. Names are templates, as they were declared and checked. */
export type TrustRule = {
  readonly name: string;
  /** All of them must fit. */
  readonly match: readonly { readonly claim: string; readonly pattern: ClaimPattern }[];
  readonly environment: string;
  readonly doors: readonly TokenDoor[];
  readonly profiles: readonly ProfileName[];
  readonly spiffeId: string | null;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  /** The declared proxy that its bearer joins as; null: the one of its SPIFFE ID. */
  readonly proxy: string | null;
  readonly maxLifetimeMs: number;
  /** A token buys one certificate. */
  readonly singleUse: boolean;
};

/** An issuer of tokens that is trusted, and how far. */
export type IdentityProvider = {
  readonly issuer: string;
  readonly audience: string;
  /** Null: by discovery (OpenID Connect Discovery 1.0 section 4). */
  readonly jwksUri: string | null;
  /** Whom its server's certificate must chain to, PEM; null: the roots that come with Node. */
  readonly anchorsPem: string | null;
  /** From `iat` to `exp`; a token that is good for longer is refused. */
  readonly maxTokenLifetimeMs: number;
  readonly rules: readonly TrustRule[];
};

/** A rule that fits the claims of a token, with its names made from them. */
export type RuleGrant = Grant & { readonly proxy: string | null; readonly singleUse: boolean };

export type RuleVerdict =
  | { readonly kind: 'grant'; readonly grant: RuleGrant }
  /** `detail` says by which claim, for the log. */
  | { readonly kind: 'no-match' | 'unfit'; readonly detail: string };

/** What the rule makes of the claims. */
export function applyRule(
  rule: TrustRule,
  { claims, trustDomain, provider }: { readonly claims: Claims; readonly trustDomain: TrustDomain; readonly provider: string },
): RuleVerdict {
  const other = rule.match.find(({ claim, pattern }) => !matchesClaim(pattern, readClaim(claims, claim)));
  if (other !== undefined) return { kind: 'no-match', detail: `${rule.name}: claim ${other.claim} is another` };
  const faults: string[] = [];
  const expand = (kind: TemplateKind, text: string): string => {
    const made = expandTemplate(kind, parseNameTemplate(text), { claims, environment: rule.environment, trustDomain });
    if (made.kind === 'name') return made.name;
    faults.push(made.detail);
    return '';
  };
  const grant: RuleGrant = {
    source: `${provider}/${rule.name}`,
    environment: rule.environment,
    doors: rule.doors,
    profiles: rule.profiles,
    spiffeId: rule.spiffeId === null ? null : (expand('spiffe-id', rule.spiffeId) as SpiffeId),
    dnsNames: rule.dnsNames.map((name) => expand('dns-name', name)),
    ipAddresses: rule.ipAddresses,
    maxLifetimeMs: rule.maxLifetimeMs,
    proxy: rule.proxy === null ? null : expand('proxy-name', rule.proxy),
    singleUse: rule.singleUse,
  };
  return faults.length > 0 ? { kind: 'unfit', detail: `${rule.name}: ${faults.join('; ')}` } : { kind: 'grant', grant };
}
