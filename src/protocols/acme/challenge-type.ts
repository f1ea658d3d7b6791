import type { Identifier } from './identifier.ts';

/** The ways to prove control of a name (RFC 8555 section 8, RFC 8737). */
export const challengeTypes = ['http-01', 'tls-alpn-01', 'dns-01'] as const;
export type ChallengeType = (typeof challengeTypes)[number];

/** A wildcard is proved in the DNS alone (RFC 8555 section 7.1.3), an address never there (RFC 8738 section 7). */
export function challengesFor(type: Identifier['type'], wildcard: boolean): readonly ChallengeType[] {
  if (wildcard) return ['dns-01'];
  return type === 'ip' ? ['http-01', 'tls-alpn-01'] : challengeTypes;
}

export function isChallengeType(word: string): word is ChallengeType {
  return (challengeTypes as readonly string[]).includes(word);
}
