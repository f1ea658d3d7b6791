import type { ProfileName } from '../../core/issuance/profile.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Queries } from '../../platform/db/database.ts';
import { findProfileDigest } from '../policies/profile-store.ts';

/**
 * That a profile is still the declared one, asked in the commit: what another control plane changed is known here some seconds later only. `digest`: null of
 * what the product brings, or of what is not there. @throws state-conflict
 */
export async function demandProfileInForce(
  queries: Queries,
  environment: string,
  { name, digest }: { readonly name: ProfileName; readonly digest: string | null },
): Promise<void> {
  if ((await findProfileDigest(queries, environment, name)) === digest) return;
  throw new Problem(
    'state-conflict',
    `Cannot decide: profile ${name} was changed a moment ago, expected to be asked again in some seconds`,
  );
}
