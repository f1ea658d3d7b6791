import type { Kysely } from 'kysely';

/** A proxy that is told no octets of what it refused, as one with an Envoy, names the address; the prober says from where it came, and what it offered. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('telemetry_refusals')
    .addColumn('remote_address', 'text', (column) => column.notNull().defaultTo(''))
    .execute();
  await db.schema
    .alterTable('telemetry_drill_results')
    .addColumn('local_address', 'text', (column) => column.notNull().defaultTo(''))
    .execute();
  await db.schema
    .alterTable('telemetry_drill_results')
    .addColumn('offered_session', 'integer', (column) => column.notNull().defaultTo(0))
    .execute();
  await db.schema
    .createIndex('telemetry_refusals_address')
    .on('telemetry_refusals')
    .column('remote_address')
    .where('remote_address' as never, '!=', '')
    .execute();
}
