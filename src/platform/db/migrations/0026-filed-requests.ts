import { type Kysely, sql } from 'kysely';

/** Who files a request is asked whether it waits already, and how many of theirs do: neither needs those of others. `settled_at` is in it so that a count reads no row. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create index issuance_requests_filed on issuance_requests (asker, digest, settled_at) where settled_at is null`.execute(db);
}
