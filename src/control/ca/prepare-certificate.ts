import { decideIssuance } from '../../core/issuance/decide-issuance.ts';
import type {
  CertificateTemplate,
  IssuanceFacts,
  IssuanceOrder,
  IssuanceReason,
  OtherAuthority,
} from '../../core/issuance/issuance-order.ts';
import type { Profile, ProfileName } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import { buildTbsCertificate } from '../../core/x509/build-certificate.ts';
import { lintTbsCertificate, type LintedTbs } from '../../core/x509/lint-certificate.ts';
import { builtInProfiles } from '../policies/declared-profiles.ts';
import type { Authorities, IssuingAuthority } from './authorities.ts';
import { crlShardOf, crlUrlOf, issuerUrlOf } from './crl-path.ts';
import type { IssuanceRequest } from './issuance-request.ts';
import { newSerialNumber } from './serial-number.ts';

/** What can be signed, or all that stands against it. `policy` are the evaluator's own reasons. */
export type Prepared =
  | {
      readonly kind: 'sign';
      readonly tbs: LintedTbs;
      readonly serial: Uint8Array;
      readonly template: CertificateTemplate;
      readonly profile: Profile;
    }
  | {
      readonly kind: 'refuse';
      readonly reasons: readonly string[];
      readonly policy: readonly IssuanceReason[];
      readonly profile: Profile | null;
    };

/** Decides, builds and lints. Whether identity, key and predecessor stand is asked inside the commits, where the answer cannot age. */
export function prepareCertificate(authorities: Authorities, issuer: IssuingAuthority, request: IssuanceRequest, now: Instant): Prepared {
  const serial = newSerialNumber();
  const profile = findProfile(authorities, request.environment, request.profile);
  if (profile === null) {
    const none: IssuanceReason = { rule: 'asker', message: `there is no profile ${request.profile}` };
    return { kind: 'refuse', reasons: [toldReason(none)], policy: [none], profile };
  }
  const decision = decideIssuance(
    now,
    profile,
    orderOf(request),
    factsOf(authorities, issuer, { serial, approvals: request.approvals ?? 0 }),
  );
  if (decision.kind === 'refuse') {
    return { kind: 'refuse', reasons: decision.reasons.map(toldReason), policy: decision.reasons, profile };
  }
  if (decision.kind === 'order') throw new Error('an authority of ours signs, it orders nothing');
  const { template } = decision;
  const tbs = buildTbsCertificate({ ...template.fields, serial, signatureAlgorithm: issuer.signer.algorithm });
  const lint = lintTbsCertificate(tbs, issuer.certificate, {
    now,
    exceptions: template.exceptions,
    ...(authorities.blockedKeys === undefined ? {} : { blockedKeys: authorities.blockedKeys }),
  });
  if (lint.kind === 'faulty') {
    const reasons = lint.findings.map(({ rule, clause, message }) => `lint ${rule} (${clause}): ${message}`);
    return { kind: 'refuse', reasons, policy: [], profile };
  }
  return { kind: 'sign', tbs: lint.tbs, serial, template, profile };
}

/** The profile that this name means in this environment; null: none. */
export function findProfile(
  { profiles = builtInProfiles }: Pick<Authorities, 'profiles'>,
  environment: string,
  name: ProfileName,
): Profile | null {
  return profiles.find(environment, name);
}

/** The request as the evaluator takes it. */
export function orderOf(request: IssuanceRequest): IssuanceOrder {
  const { door, asker, environment, csr, spiffeId, names, lifetimeMs, flaw, keyIdentifier } = request;
  return {
    door,
    asker,
    environment,
    key: csr,
    spiffeId,
    dnsNames: names.dns,
    ipAddresses: names.ip,
    authorityName: request.distinguishedName ?? null,
    ...(lifetimeMs === undefined ? {} : { lifetimeMs }),
    ...(flaw === undefined ? {} : { flaw }),
    ...(keyIdentifier === undefined ? {} : { keyIdentifier }),
  };
}

/** What is so when this authority signs this serial, but for what only a commit can know. */
export function factsOf(
  authorities: Authorities,
  issuer: IssuingAuthority,
  { serial, approvals }: { readonly serial: Uint8Array; readonly approvals: number },
): IssuanceFacts {
  return {
    trustDomain: authorities.trustDomain,
    issuer: issuer.certificate,
    issuerEnvironment: issuer.environment,
    crlUri: crlUrlOf(issuer, crlShardOf(serial, issuer.crlShards)),
    ocspUri: issuer.ocspUrl,
    issuerUri: issuerUrlOf(issuer),
    reservedNames: authorities.reservedNames ?? [],
    identitySuspended: false,
    keyBlocked: false,
    approvals,
  };
}

/** What is so when another CA is asked, but for what only a commit can know. */
export function factsOfOther(
  { trustDomain, reservedNames = [] }: Pick<Authorities, 'trustDomain' | 'reservedNames'>,
  issuerEnvironment: string,
  other: OtherAuthority,
): IssuanceFacts {
  const nothing = { issuer: null, crlUri: null, identitySuspended: false, keyBlocked: false } as const;
  return { ...nothing, trustDomain, issuerEnvironment, reservedNames, other };
}

/** As a refusal is told and logged: the rule leads. */
export function toldReason({ rule, message }: IssuanceReason): string {
  return `${rule}: ${message}`;
}
