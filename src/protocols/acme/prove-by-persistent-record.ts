import { type Instant, SECOND_MS } from '../../core/time/instant.ts';
import type { Authorization } from './authorization.ts';
import type { Proof, ProofDeps, ProofParties } from './proof.ts';

/**
 * dns-persist-01 (draft-ietf-acme-dns-persist-00): a record that stays in the zone says which CA may issue to which account, so it is proof without
 * a token. One record of several is enough; one that is not understood counts for nothing.
 */
export async function proveByPersistentRecord(
  { resolver, ...parties }: Pick<ProofDeps, 'resolver'> & ProofParties,
  { identifier, wildcard }: Pick<Authorization, 'identifier' | 'wildcard'>,
): Promise<Proof> {
  const name = `_validation-persist.${identifier.value}`;
  const found = await resolver.texts(name);
  if (found.kind === 'failed') return { kind: 'failed', type: 'dns', detail: `${name} could not be resolved (${found.detail})` };
  const until = found.kind === 'none' ? [] : found.values.flatMap((text) => judgeRecord(text, wildcard, parties) ?? []);
  if (until.length === 0) {
    return { kind: 'failed', type: 'unauthorized', detail: `${name}: none of its TXT records permits this CA for this account and name` };
  }
  const last = Math.max(...until);
  return { kind: 'proven', address: null, ...(Number.isFinite(last) ? { until: last } : {}) };
}

/** Until when the record permits it, `Infinity` without an end of its own; null: it does not. */
export function judgeRecord(text: string, wildcard: boolean, { accountUrl, issuers, now }: ProofParties): Instant | null {
  if (text.length > MAXIMUM_RECORD) return null;
  const [issuer = '', ...parts] = text.split(';').map((part) => part.trim());
  if (!issuers.includes(issuer.toLowerCase())) return null;
  const parameters = parts.filter((part) => part !== '').map((part) => /^([a-z0-9]+)\s*=\s*([\x21-\x3a\x3c-\x7e]*)$/i.exec(part));
  const of = (wanted: string): string[] => parameters.filter((match) => match?.[1]!.toLowerCase() === wanted).map((match) => match![2]!);
  const [accounts, policies, ends] = [of('accounturi'), of('policy'), of('persistuntil')];
  if (parameters.includes(null) || accounts.length !== 1 || policies.length > 1 || ends.length > 1) return null;
  if (accounts[0] !== accountUrl) return null;
  // Any other policy is treated as none: it permits the name itself.
  if (wildcard && policies[0]?.toLowerCase() !== 'wildcard') return null;
  if (ends[0] === undefined) return Infinity;
  if (!/^\d{1,12}$/.test(ends[0])) return null;
  const end = Number(ends[0]) * SECOND_MS;
  return end > now ? end : null;
}

/** An account URL and the parameters, with room. */
const MAXIMUM_RECORD = 2_000;
