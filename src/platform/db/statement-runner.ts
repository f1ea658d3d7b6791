import type { DatabaseSync, StatementSync } from 'node:sqlite';

/** Runs a statement without values. */
export type StatementRunner = (sql: string) => void;

/** Runs the few statements of transactions, each prepared once. */
export function statementRunner(file: DatabaseSync): StatementRunner {
  const statements = new Map<string, StatementSync>();
  return (sql) => {
    const statement = statements.get(sql) ?? file.prepare(sql);
    statements.set(sql, statement);
    statement.run();
  };
}
