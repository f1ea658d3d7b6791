import type { EntityId } from '../../core/ids/entity-id.ts';
import type { IdentityProvider } from '../../core/oidc/identity-provider.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';

/** An issuer as it was declared. */
export type IdentityProviderRecord = {
  readonly id: EntityId<'provider'>;
  readonly environment: string;
  readonly region: string;
  readonly name: string;
  readonly provider: IdentityProvider;
  readonly updatedAt: Instant;
};

/** All that are declared, by environment and name; `issuer`: those of it alone. */
export async function listIdentityProviders(queries: Queries, issuer?: string): Promise<readonly IdentityProviderRecord[]> {
  const rows = await tables(queries)
    .selectFrom('identity_providers')
    .selectAll()
    .$if(issuer !== undefined, (query) => query.where('issuer', '=', issuer!))
    .orderBy('environment')
    .orderBy('name')
    .execute();
  return rows.map(({ id, environment, region, name, content, updated_at: updatedAt }) => ({
    id: id as EntityId<'provider'>,
    environment,
    region,
    name,
    provider: JSON.parse(content) as IdentityProvider,
    updatedAt,
  }));
}

/** Puts the record in the place of the one with its id. */
export async function upsertIdentityProvider(queries: Queries, record: IdentityProviderRecord): Promise<void> {
  const { id, environment, region, name, provider, updatedAt } = record;
  const values = { region, issuer: provider.issuer, content: JSON.stringify(provider), updated_at: updatedAt };
  await tables(queries)
    .insertInto('identity_providers')
    .values({ id, environment, name, ...values })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(values))
    .execute();
}

/** True if it was there. */
export async function deleteIdentityProvider(queries: Queries, id: string): Promise<boolean> {
  const result = await tables(queries).deleteFrom('identity_providers').where('id', '=', id).executeTakeFirst();
  return result.numDeletedRows > 0n;
}

/** Notes that a token was used. False, and nothing done, if it had been; `maximumUses` above 1 lets the same key use it again. */
export async function useMachineToken(
  queries: Queries,
  use: { readonly digest: string; readonly usedBy: string; readonly maximumUses: number; readonly expiresAt: Instant },
  now: Instant,
): Promise<boolean> {
  const { digest, usedBy, maximumUses, expiresAt } = use;
  const result = await tables(queries)
    .insertInto('used_machine_tokens')
    .values({ digest, used_by: usedBy, uses: 1, used_at: now, expires_at: expiresAt })
    .onConflict((conflict) =>
      conflict
        .column('digest')
        .doUpdateSet((set) => ({ uses: set('used_machine_tokens.uses', '+', 1) }))
        .where('used_machine_tokens.used_by', '=', usedBy)
        .where('used_machine_tokens.uses', '<', maximumUses),
    )
    .executeTakeFirst();
  return (result.numInsertedOrUpdatedRows ?? 0n) > 0n;
}

/** Forgets the uses of tokens that are too old to be used again. */
export async function forgetUsedMachineTokens(queries: Queries, now: Instant): Promise<void> {
  await tables(queries).deleteFrom('used_machine_tokens').where('expires_at', '<', now).execute();
}

type ProviderRow = { id: string; environment: string; region: string; name: string; issuer: string; content: string; updated_at: number };
type UseRow = { digest: string; used_by: string; uses: number; used_at: number; expires_at: number };

const tables = (queries: Queries) => queries.withTables<{ identity_providers: ProviderRow; used_machine_tokens: UseRow }>();
