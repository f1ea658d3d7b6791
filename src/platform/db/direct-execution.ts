import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely';
import type { Queries } from './database.ts';

/**
 * Lets compiled queries of this builder go straight to the one connection that it has. Kysely takes ten promises to find a connection, which
 * of a query by key is more work than the database has. Only for a connection that never needs to be waited for.
 */
export function permitDirectExecution(queries: Queries, connection: DatabaseConnection): void {
  connections.set(queries.getExecutor(), connection);
}

/** Runs a compiled query, by the shortest way that there is. */
export function executeCompiled<Found>(queries: Queries, query: CompiledQuery<Found>): Promise<QueryResult<Found>> {
  return connections.get(queries.getExecutor())?.executeQuery<Found>(query) ?? queries.executeQuery(query);
}

const connections = new WeakMap<ReturnType<Queries['getExecutor']>, DatabaseConnection>();
