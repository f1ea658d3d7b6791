import { createToken } from '../../src/control/access/create-token.ts';
import type { AuditedDatabase } from '../../src/control/audit/entry.ts';
import { ada, place } from './authorities.ts';

/** A person with a token of her own, by which she makes grants. */
export async function makerOf(
  deps: { readonly database: AuditedDatabase },
  now: number,
  {
    name = 'ada',
    role = 'admin',
    ttlMs = null,
  }: { readonly name?: string; readonly role?: 'admin' | 'operator'; readonly ttlMs?: number | null } = {},
) {
  const { tokenId } = await createToken(deps, { name, role, scope: '*', ...place, ttlMs }, ada, now);
  return { principal: { tokenId, name, role, scope: '*' }, actor: { kind: 'person', name } } as const;
}
