import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { type AccessTokenRecord, findAccessToken } from './store.ts';

/** The token if it is good now, neither ended nor expired; null: it is not, or there is none. Ending one is fenced, so that inside a commit the answer cannot age. */
export async function findLiveToken(queries: Queries, id: EntityId<'token'>, now: Instant): Promise<AccessTokenRecord | null> {
  const token = await findAccessToken(queries, id);
  return token !== null && token.endedAt === null && (token.expiresAt === null || token.expiresAt > now) ? token : null;
}
