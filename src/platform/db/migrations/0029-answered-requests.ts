import { type Kysely, sql } from 'kysely';

/** Who says the same request again, as clients of EST do, is told what became of it: found by what was asked, not by who has asked since when. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create index issuance_requests_answered on issuance_requests (digest) where settled_at is not null`.execute(db);
}
