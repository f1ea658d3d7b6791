import { canonicalJson, type JsonValue } from '../merkle/canonical-json.ts';
import { type Policy } from './policy.ts';

/** One field that differs, by its dotted name. */
export type PolicyChange = {
  readonly field: string;
  readonly before: string | number;
  readonly after: string | number;
  /** Whether more peers, or fewer, can connect afterwards; `neutral` where it changes no handshake. */
  readonly effect: 'tightens' | 'loosens' | 'neutral';
};

/** What changes between two policies, in a fixed order; empty if they are equal. */
export function diffPolicy(before: Policy, after: Policy): readonly PolicyChange[] {
  const old = flatten(before);
  return [...flatten(after)].flatMap(([field, value]): PolicyChange[] => {
    const held = old.get(field)!;
    if (held === value) return [];
    return [{ field, before: held, after: value, effect: effectOf(field, before, after) }];
  });
}

function effectOf(field: string, before: Policy, after: Policy): PolicyChange['effect'] {
  switch (field) {
    case 'tls.minimumVersion':
      return after.tls.minimumVersion > before.tls.minimumVersion ? 'tightens' : 'loosens';
    case 'tls.maximumVersion':
      return after.tls.maximumVersion < before.tls.maximumVersion ? 'tightens' : 'loosens';
    case 'tls.groups':
      return effectOfSets(before.tls.groups, after.tls.groups);
    case 'tls.suites':
      return effectOfSets(before.tls.suites, after.tls.suites);
    case 'http.hostMatchesSni':
      return after.http.hostMatchesSni ? 'tightens' : 'loosens';
    case 'http.boundTokens':
      return after.http.boundTokens === null ? 'loosens' : before.http.boundTokens === null ? 'tightens' : 'neutral';
    default:
      return 'neutral';
  }
}

/** Anything newly accepted loosens, whatever else went. */
function effectOfSets(before: readonly string[], after: readonly string[]): PolicyChange['effect'] {
  if (after.some((word) => !before.includes(word))) return 'loosens';
  return after.length < before.length ? 'tightens' : 'neutral';
}

function flatten(policy: Policy): Map<string, string | number> {
  return new Map<string, string | number>([
    ['tls.minimumVersion', policy.tls.minimumVersion],
    ['tls.maximumVersion', policy.tls.maximumVersion],
    ['tls.groups', policy.tls.groups.join(':')],
    ['tls.suites', policy.tls.suites.join(':')],
    ['certificates.renewAtPermille.critical', policy.certificates.renewAtPermille.critical],
    ['certificates.renewAtPermille.standard', policy.certificates.renewAtPermille.standard],
    ['certificates.renewalSmearMs', policy.certificates.renewalSmearMs],
    ['http.hostMatchesSni', String(policy.http.hostMatchesSni)],
    ['http.hsts', written(policy.http.hsts)],
    ['http.answerFields', policy.http.answerFields.join(':')],
    ['http.identityFields', policy.http.identityFields.join(':')],
    ['http.maximumBodyOctets', String(policy.http.maximumBodyOctets)],
    ['http.rates', written(policy.http.rates)],
    ['http.boundTokens', written(policy.http.boundTokens)],
    ['limits.connections', policy.limits.connections],
    ['limits.handshakesPerAddress', policy.limits.handshakesPerAddress],
    ['replicas', written(policy.replicas)],
    ['drainMs', policy.drainMs],
    ['telemetryIntervalMs', policy.telemetryIntervalMs],
  ]);
}

/** In one spelling: what was stored has its keys in another order than what was just read. */
function written(value: object | null): string {
  return canonicalJson(value as JsonValue);
}
