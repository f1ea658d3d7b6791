import { acmeChallengeNames, type AcmeChallengeName } from '../../platform/config/acme-config.ts';
import type { Identifier } from './identifier.ts';

/** The ways to prove control of a name (RFC 8555 section 8, RFC 8737, and the drafts of dns-account-01 and dns-persist-01). */
export type ChallengeType = AcmeChallengeName;

/** A wildcard is proved in the DNS alone (RFC 8555 section 7.1.3), an address never there (RFC 8738 section 7). */
export function challengesFor(type: Identifier['type'], wildcard: boolean): readonly ChallengeType[] {
  if (wildcard) return ['dns-01', 'dns-account-01', 'dns-persist-01'];
  return type === 'ip' ? ['http-01', 'tls-alpn-01'] : acmeChallengeNames;
}

export function isChallengeType(word: string): word is ChallengeType {
  return (acmeChallengeNames as readonly string[]).includes(word);
}
