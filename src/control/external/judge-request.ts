import { type Decision, decideIssuance } from '../../core/issuance/decide-issuance.ts';
import type { Asker, IssuanceOrder, OtherAuthority, RequestedKey } from '../../core/issuance/issuance-order.ts';
import type { Profile, ProfileName } from '../../core/issuance/profile.ts';
import { type Instant, SECOND_MS } from '../../core/time/instant.ts';
import type { Certificate } from '../../core/x509/certificate.ts';
import type { Authorities } from '../ca/authorities.ts';
import type { CertificateNames } from '../ca/certificate-store.ts';
import { factsOfOther } from '../ca/prepare-certificate.ts';
import type { ExternalAuthorityRecord } from './external-authority.ts';
import type { ForeignCertificate } from './foreign-certificate.ts';
import { leafOf } from './leaf-of.ts';

/** What a request to another CA is judged by, beside the declaration of that CA: the same as at every other door. */
export type OrderPolicy = Pick<Authorities, 'trustDomain' | 'profiles' | 'reservedNames' | 'blockedKeys'>;

export type JudgedRequest = {
  readonly authority: Pick<ExternalAuthorityRecord, 'name' | 'environment' | 'settings'>;
  readonly asker: Asker;
  readonly key: RequestedKey;
  readonly names: CertificateNames;
  /** What it takes the place of, of the same authority; null: nothing. */
  readonly renews: Pick<ForeignCertificate, 'chain'> | null;
  readonly lifetimeMs?: number;
};

/** What the one evaluator makes of it under a profile. */
export function judgeRequest(
  policy: OrderPolicy,
  { profile, request }: { readonly profile: Profile; readonly request: JudgedRequest },
  { keyBlocked, approvals }: { readonly keyBlocked: boolean; readonly approvals: number },
  now: Instant,
): Decision {
  const { authority, asker, key, names, renews, lifetimeMs } = request;
  const { environment } = authority;
  const order: IssuanceOrder = {
    door: 'external',
    asker,
    environment,
    key,
    spiffeId: null,
    dnsNames: names.dns,
    ipAddresses: names.ip,
    authorityName: null,
    ...(lifetimeMs === undefined ? {} : { lifetimeMs }),
  };
  const isBlocked = keyBlocked || policy.blockedKeys?.has(key.spkiSha256) === true;
  const other = otherAuthorityOf(authority, renews === null ? null : lifeOf(leafOf(renews)));
  return decideIssuance(now, profile, order, { ...factsOfOther(policy, environment, other), keyBlocked: isBlocked, approvals });
}

export function otherAuthorityOf(
  { name, settings }: Pick<ExternalAuthorityRecord, 'name' | 'settings'>,
  lifetimeMs: number | null,
): OtherAuthority {
  const { judgedBy, allowedNames, challenge } = settings;
  return { name, profiles: judgedBy, allowedNames, challenge: challenge.kind, lifetimeMs };
}

/** Both ends included (RFC 5280 section 4.1.2.5). */
export function lifeOf({ notBefore, notAfter }: Pick<Certificate, 'notBefore' | 'notAfter'>): number {
  return notAfter + SECOND_MS - notBefore;
}

/** What a request that names no profile is judged by. */
export function usualProfileOf({ settings: { judgedBy } }: Pick<ExternalAuthorityRecord, 'settings'>): ProfileName {
  return judgedBy[0] ?? 'server';
}
