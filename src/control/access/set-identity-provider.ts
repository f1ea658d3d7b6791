import { parseIdentityProvider } from '../../core/oidc/parse-identity-provider.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { Actor, AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import {
  deleteIdentityProvider,
  type IdentityProviderRecord,
  listIdentityProviders,
  upsertIdentityProvider,
} from './machine-token-store.ts';

/**
 * Trusts an issuer as far as its rules go, in the place of what was declared under that name before. Fenced, as is the end of a trust: what rests on a rule
 * asks for it in its own commit. @throws input-invalid
 */
export async function setIdentityProvider(
  deps: { readonly database: AuditedDatabase },
  request: { readonly environment: string; readonly region: string; readonly name: string; readonly spec: unknown },
  actor: Actor,
  now: Instant,
): Promise<IdentityProviderRecord> {
  const { environment, region, name, spec } = request;
  const provider = parseIdentityProvider(spec, environment);
  return deps.database.commitFenced(async (unit) => {
    const held = (await listIdentityProviders(unit.queries)).find((known) => known.environment === environment && known.name === name);
    const record = { id: held?.id ?? newEntityId('provider', now), environment, region, name, provider, updatedAt: now };
    await upsertIdentityProvider(unit.queries, record);
    const { issuer, audience, rules } = provider;
    const shown = rules.map((rule) => ({ name: rule.name, environment: rule.environment, profiles: rule.profiles, doors: rule.doors }));
    const data = { providerId: record.id, name, issuer, audience, rules: shown.slice(0, MAXIMUM_SHOWN), ruleCount: rules.length };
    recordEntry(unit, { type: 'identity-provider.set', at: now, environment, region, actor, data });
    return record;
  });
}

/** Trusts an issuer no longer; certificates that its tokens bought are not touched. @throws not-found */
export async function removeIdentityProvider(
  deps: { readonly database: AuditedDatabase },
  id: string,
  actor: Actor,
  now: Instant,
): Promise<void> {
  await deps.database.commitFenced(async (unit) => {
    const held = (await listIdentityProviders(unit.queries)).find((known) => known.id === id);
    if (held === undefined) throw new Problem('not-found', 'Cannot remove identity provider: there is none of this id');
    await deleteIdentityProvider(unit.queries, id);
    const { environment, region, name, provider } = held;
    const data = { providerId: held.id, name, issuer: provider.issuer };
    recordEntry(unit, { type: 'identity-provider.removed', at: now, environment, region, actor, data });
  });
}

const MAXIMUM_SHOWN = 50;
