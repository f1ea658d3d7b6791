import type { Instant } from '../time/instant.ts';
import { breaksNameConstraints } from '../x509/match-name-constraints.ts';
import { buildName, type Name } from '../x509/name.ts';
import { oids } from '../x509/oid.ts';
import { keyIdentifierOf, parseSubjectPublicKey } from '../x509/public-key.ts';
import type { SubjectAltNames } from '../x509/general-name.ts';
import { chooseValidity } from './choose-validity.ts';
import { judgeGrant } from './judge-grant.ts';
import type { CertificateTemplate, IssuanceFacts, IssuanceOrder, IssuanceReason, RequestedKey } from './issuance-order.ts';
import { judgeNames } from './judge-names.ts';
import { judgeOther, longestLife } from './judge-other.ts';
import { namesOutside } from './permitted-names.ts';
import type { KeyRule, Profile } from './profile.ts';

/**
 * `template` has all but serial and signature algorithm. `reasons` are all that stand against it, not the first. `order`: another CA may be asked for these names,
 * and what it gives is taken if it has these purposes (dotted) and lasts no longer.
 */
export type Decision =
  | { readonly kind: 'issue'; readonly template: CertificateTemplate }
  | { readonly kind: 'order'; readonly names: SubjectAltNames; readonly purposes: readonly string[]; readonly longestMs: number }
  | { readonly kind: 'refuse'; readonly reasons: readonly IssuanceReason[] };

/** The one policy evaluator of every door: what the profile makes of the order, given what is so. */
export function decideIssuance(now: Instant, profile: Profile, order: IssuanceOrder, facts: IssuanceFacts): Decision {
  const { names, reasons: againstNames } = judgeNames(profile, order, facts);
  const subject = order.authorityName ?? EMPTY_NAME;
  const { other } = facts;
  const validity = other === undefined ? chooseValidity(now, profile, order, facts) : longestLife(profile, order, other);
  const reasons = [
    ...judgeAsker(profile, order, facts),
    ...(order.asker.grant === undefined ? [] : judgeGrant(order.asker.grant, profile.name, order)),
    ...againstNames,
    ...judgePermitted(profile, names),
    ...judgeKey(profile.keys, order.key, facts),
    ...judgeWay(order, facts),
    ...(other === undefined ? judgeIssuer(profile, facts, { subject, names }) : judgeOther(profile, order, { other, names })),
    ...('reasons' in validity ? validity.reasons : []),
    ...judgeFlaw(profile, order),
    ...judgeApprovals(profile, facts),
    ...(facts.identitySuspended ? [{ rule: 'suspended', message: 'the identity is suspended' } as const] : []),
  ];
  if (reasons.length > 0 || 'reasons' in validity) return { kind: 'refuse', reasons };
  if ('longestMs' in validity) return { kind: 'order', names, purposes: profile.extendedKeyUsage, ...validity };
  const template = makeTemplate(profile, order, facts, { subject, names, ...validity });
  return { kind: 'issue', template };
}

function judgeAsker(profile: Profile, { door, asker, environment }: IssuanceOrder, facts: IssuanceFacts): IssuanceReason[] {
  const reasons: IssuanceReason[] = [];
  const allowed = profile.askers[door];
  // What renews at another CA by itself asks for nobody anew: that the profile opens the door is enough.
  const isEngine = door === 'external' && asker.role === 'control-plane';
  if (!allowed) reasons.push({ rule: 'asker', message: `profile ${profile.name} is not issued by the door ${door}` });
  else if (!isEngine && !allowed.includes(asker.role))
    reasons.push({ rule: 'asker', message: `${asker.role} may not ask for profile ${profile.name}` });
  else if (!isEngine && !isNamed(profile, door, asker))
    reasons.push({ rule: 'asker', message: `profile ${profile.name} does not name who asks` });
  if (asker.scope !== '*' && !asker.scope.includes(environment)) {
    reasons.push({ rule: 'environment', message: `the asker's credential does not cover ${environment}` });
  }
  if (facts.issuerEnvironment !== '*' && facts.issuerEnvironment !== environment) {
    reasons.push({ rule: 'environment', message: `the authority serves ${facts.issuerEnvironment}, the order is for ${environment}` });
  }
  const machine = asker.role === 'data-plane' || asker.role === 'scanner';
  if (machine && asker.spiffeId === null) reasons.push({ rule: 'asker', message: 'a data plane without a proved identity' });
  return reasons;
}

function judgeKey(rule: KeyRule, key: RequestedKey, { issuer, keyBlocked }: IssuanceFacts): IssuanceReason[] {
  const reasons: IssuanceReason[] = [];
  const fault = keyFault(rule, key);
  if (fault !== null) reasons.push({ rule: 'key', message: fault });
  if (keyBlocked) reasons.push({ rule: 'key', message: 'the key is blocked' });
  if (issuer && issuer.spkiSha256 === key.spkiSha256) reasons.push({ rule: 'key', message: "the key is the issuing authority's own" });
  return reasons;
}

function keyFault(rule: KeyRule, { publicKeyKind: key }: RequestedKey): string | null {
  switch (key.kind) {
    case 'ec':
      return rule.curves.includes(key.curve) ? null : `public key is on ${key.curve}, expected ${rule.curves.join(', ')}`;
    case 'ed25519':
      return rule.ed25519 ? null : 'public key is Ed25519, which the profile does not allow';
    case 'rsa':
      return rsaFault(rule, key);
    case 'ed448':
    case 'ml-dsa':
    case 'ml-kem':
    case 'slh-dsa':
    case 'unknown':
      return 'public key is of a kind that no profile allows';
    default:
      return key satisfies never;
  }
}

function rsaFault({ rsaBits }: KeyRule, { bits, exponent, pss }: { bits: number; exponent: number; pss: boolean }): string | null {
  if (rsaBits === null || pss) return `public key is RSA${pss ? '-PSS' : ''}, which the profile does not allow`;
  if (bits < rsaBits.min || bits > rsaBits.max) return `public key is RSA ${bits}, expected ${rsaBits.min} to ${rsaBits.max}`;
  // CA/B BR 6.1.6: odd, from 2^16 + 1 on.
  return exponent % 2 === 1 && exponent > 65_536 && exponent < 2 ** 32 ? null : 'public exponent is even, small or huge, expected 65537';
}

/** What is to be passed on is signed by nobody here, and nothing else is passed on. */
function judgeWay({ door }: IssuanceOrder, { other }: IssuanceFacts): IssuanceReason[] {
  if ((door === 'external') === (other !== undefined)) return [];
  return [
    { rule: 'issuer', message: other === undefined ? 'the door external leads to other CAs' : `the door ${door} leads to no other CA` },
  ];
}

/** What could not be validated later is not signed now: constraints, path length, usage. */
function judgeIssuer(profile: Profile, { issuer }: IssuanceFacts, names: { subject: Name; names: SubjectAltNames }): IssuanceReason[] {
  if (issuer === null) {
    return profile.name === 'root' ? [] : [{ rule: 'issuer', message: `profile ${profile.name} needs an issuing authority` }];
  }
  if (profile.name === 'root') return [{ rule: 'issuer', message: 'a root is issued by itself' }];
  const reasons: IssuanceReason[] = [];
  const { basicConstraints, keyUsage, nameConstraints } = issuer;
  if (basicConstraints?.ca !== true || keyUsage?.has('keyCertSign') === false) {
    reasons.push({ rule: 'issuer', message: 'the issuer is no certification authority' });
  }
  if (profile.basicConstraints.ca && basicConstraints?.pathLength === 0) {
    reasons.push({ rule: 'issuer', message: 'the issuer may not have authorities below it' });
  }
  const presented = { subject: names.subject, subjectAltNames: names.names };
  const broken = nameConstraints && breaksNameConstraints(presented, nameConstraints, { left: MAX_COMPARISONS });
  if (broken !== null) reasons.push({ rule: 'constraints', message: `the issuer's name constraints refuse ${broken}` });
  return reasons;
}

function isNamed({ identities }: Profile, door: IssuanceOrder['door'], { name, spiffeId }: IssuanceOrder['asker']): boolean {
  const named = identities?.[door];
  return named === undefined || named.has(spiffeId ?? name ?? '');
}

function judgePermitted({ permits }: Profile, names: SubjectAltNames): IssuanceReason[] {
  return permits === undefined ? [] : namesOutside(permits, names).map((message) => ({ rule: 'permitted', message }));
}

function judgeApprovals({ approvals }: Profile, facts: IssuanceFacts): IssuanceReason[] {
  const given = facts.approvals ?? 0;
  if (approvals === undefined || given >= approvals.count) return [];
  return [{ rule: 'approval', message: `${given} of ${approvals.count} approvals by the role ${approvals.role}` }];
}

function judgeFlaw(profile: Profile, { flaw }: IssuanceOrder): IssuanceReason[] {
  if (flaw === undefined || profile.flaws[flaw]) return [];
  return [{ rule: 'flaw', message: `profile ${profile.name} issues no credential that is ${flaw}` }];
}

type Chosen = { readonly subject: Name; readonly names: SubjectAltNames; readonly notBefore: Instant; readonly notAfter: Instant };

function makeTemplate(profile: Profile, order: IssuanceOrder, facts: IssuanceFacts, chosen: Chosen): CertificateTemplate {
  const { subject, names, notBefore, notAfter } = chosen;
  const { issuer } = facts;
  // Both are known by the identifier of their key: the one in what it signs, the other in the header of its messages (RFC 9483 section 3.1).
  const hasKeyId = profile.names === 'authority' || profile.names === 'message-signer';
  const keyId = (): Uint8Array => keyIdentifierOf(parseSubjectPublicKey(order.key.spki));
  const authorityKeyId = issuer?.subjectKeyId ?? null;
  return {
    profile: profile.name,
    exceptions: (order.flaw && profile.flaws[order.flaw]) ?? [],
    fields: {
      issuer: issuer?.subject ?? subject,
      subject,
      notBefore,
      notAfter,
      spki: order.key.spki,
      basicConstraints: profile.basicConstraints,
      keyUsage: profile.keyUsage,
      // A prober is a client: a credential for servers alone is the wrong one in exactly this property.
      extendedKeyUsage: order.flaw === 'wrong-usage' ? [oids.serverAuth] : profile.extendedKeyUsage,
      ...revocationFields(profile, facts),
      // Whoever comes from outside may know the root alone, and servers forget to send what stands between; our own fleet has all of it.
      ...(profile.names === 'server' && facts.issuerUri != null ? { issuerUri: facts.issuerUri } : {}),
      ...(profile.names === 'responder'
        ? {}
        : hasKeyId
          ? { subjectKeyId: keyId() }
          : { subjectAltNames: names, ...(order.door === 'cmp' || order.keyIdentifier === true ? { subjectKeyId: keyId() } : {}) }),
      ...(authorityKeyId === null ? {} : { authorityKeyId: Buffer.from(authorityKeyId, 'hex') }),
    },
  };
}

function revocationFields(
  { revocation }: Profile,
  { crlUri, ocspUri = null }: IssuanceFacts,
): Pick<CertificateTemplate['fields'], 'crlUri' | 'ocspUri' | 'ocspNoCheck' | 'noRevAvail'> {
  const point = crlUri === null ? {} : { crlUri };
  switch (revocation) {
    case 'distribution-point':
      return point;
    case 'ocsp':
      return ocspUri === null ? point : { ...point, ocspUri };
    case 'no-check':
      return { ocspNoCheck: true };
    case 'not-available':
      return { noRevAvail: true };
    case 'none':
      return {};
    default:
      return revocation satisfies never;
  }
}

const EMPTY_NAME = buildName([]);
const MAX_COMPARISONS = 100_000;
