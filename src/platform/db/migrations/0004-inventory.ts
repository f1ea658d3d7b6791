import { type Kysely, sql } from 'kysely';

/** Who exists, who calls whom, and what was found. Instants are epoch milliseconds; lists are JSON text; booleans are 0 or 1. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await createServices(db);
  await createPaths(db);
  await db.schema
    .createTable('discovered')
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('address', 'text', (column) => column.notNull())
    .addColumn('protocol', 'text', (column) => column.notNull())
    .addColumn('facts', 'text', (column) => column.notNull())
    .addColumn('first_seen_at', 'bigint', (column) => column.notNull())
    .addColumn('last_seen_at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('discovered_key', ['environment', 'address'])
    .execute();
  // Rises with every change that settings are made from.
  await db.schema
    .createTable('inventory_revision')
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('value', 'bigint', (column) => column.notNull())
    .execute();
  await sql`insert into inventory_revision (id, value) values (1, 0)`.execute(db);
}

async function createServices(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('services')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('tier', 'text', (column) => column.notNull())
    .addColumn('spiffe_id', 'text', (column) => column.notNull().unique())
    .addUniqueConstraint('services_name', ['environment', 'name'])
    .execute();
  await db.schema
    .createTable('endpoints')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('service_id', 'text', (column) => column.notNull())
    .addColumn('protocol', 'text', (column) => column.notNull())
    .addColumn('addresses', 'text', (column) => column.notNull())
    .addColumn('exposure', 'text', (column) => column.notNull())
    .addColumn('tier', 'text', (column) => column.notNull())
    .addColumn('data_classes', 'text', (column) => column.notNull())
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('policy', 'text', (column) => column.notNull())
    .addColumn('allowed_callers', 'text', (column) => column.notNull())
    // Only of an endpoint outside of the trust domain.
    .addColumn('server_name', 'text')
    .addColumn('anchors_pem', 'text')
    .addUniqueConstraint('endpoints_name', ['environment', 'name'])
    .execute();
}

async function createPaths(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('paths')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('caller_service_id', 'text', (column) => column.notNull())
    .addColumn('caller', 'text', (column) => column.notNull())
    .addColumn('endpoint_id', 'text', (column) => column.notNull())
    // The endpoint names the caller.
    .addColumn('allowed', 'integer', (column) => column.notNull())
    // A proxy of the caller has a listener for it.
    .addColumn('dialled', 'integer', (column) => column.notNull())
    .addUniqueConstraint('paths_ends', ['caller_service_id', 'endpoint_id'])
    .execute();
  await db.schema.createIndex('paths_environment').on('paths').columns(['environment', 'endpoint_id']).execute();
  await db.schema
    .createTable('declared_proxies')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    // Null: a scanner, which is the probe and no service.
    .addColumn('service_id', 'text')
    .addColumn('spiffe_id', 'text', (column) => column.notNull())
    .addColumn('role', 'text', (column) => column.notNull())
    .addColumn('inbound', 'text', (column) => column.notNull())
    .addColumn('outbound', 'text', (column) => column.notNull())
    .addUniqueConstraint('declared_proxies_name', ['environment', 'name'])
    .execute();
  await db.schema
    .createTable('exceptions')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('environment', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    // Exactly one of the two.
    .addColumn('path_id', 'text')
    .addColumn('endpoint_id', 'text')
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('reason', 'text', (column) => column.notNull())
    .addColumn('until_at', 'bigint', (column) => column.notNull())
    .addUniqueConstraint('exceptions_name', ['environment', 'name'])
    .execute();
}
