import type { Compilable, CompiledQuery, DialectAdapter, ExpressionBuilder, QueryResult } from 'kysely';
import type { Queries } from './database.ts';
import { executeCompiled } from './direct-execution.ts';

/** Stands in a prepared query for a value that each call gives, or for an item of its list. */
class Parameter {
  readonly name: string | number;

  constructor(name: string | number) {
    this.name = name;
  }
}

type Row = { readonly [name: string]: unknown };

/** Gives the stand-in of a named value of a prepared query. */
export type Values<V> = <Name extends keyof V & string>(name: Name) => V[Name];

/**
 * A query that is built once and run many times with other values: on a hot path Kysely's tree and text cost more than the row does.
 * `build` sees each value as a stand-in, so it can only put it where a bound parameter stands, and never look at it.
 */
export function prepareQuery<V extends Row, Found>(
  build: (queries: Queries, value: Values<V>) => Compilable<Found>,
): (queries: Queries, values: V) => Promise<QueryResult<Found>> {
  const compile = compileOnce<Found>((queries) => build(queries, (name) => new Parameter(name) as never));
  return (queries, values) => {
    const query = compile(queries);
    return executeCompiled(queries, { ...query, parameters: fill(query.parameters, values, []) });
  };
}

/**
 * The same with a list, such as `in` takes: built for one item, for two, four and so on; a list of another length is filled up with its last item
 * again. Of no item nothing is asked.
 */
export function prepareListQuery<Item, V extends Row, Found>(
  build: (queries: Queries, list: readonly Item[], value: Values<V>) => Compilable<Found>,
): (queries: Queries, list: readonly Item[], values: V) => Promise<readonly Found[]> {
  const compilers: ((queries: Queries) => CompiledQuery<Found>)[] = [];
  const compilerFor = (power: number) =>
    (compilers[power] ??= compileOnce<Found>((queries) => {
      const items = Array.from({ length: 2 ** power }, (_, at) => new Parameter(at) as Item);
      return build(queries, items, (name) => new Parameter(name) as never);
    }));
  return async (queries, list, values) => {
    if (list.length === 0) return [];
    const query = compilerFor(Math.ceil(Math.log2(list.length)))(queries);
    return (await executeCompiled<Found>(queries, { ...query, parameters: fill(query.parameters, values, list) })).rows;
  };
}

/** Of a list that is shorter than what was built the last item stands for all that are missing. */
function fill(parameters: readonly unknown[], values: Row, list: readonly unknown[]): unknown[] {
  return parameters.map((given) => {
    if (!(given instanceof Parameter)) return given;
    return typeof given.name === 'number' ? list[Math.min(given.name, list.length - 1)] : values[given.name];
  });
}

/**
 * Inserts rows of one table, of these columns, in few statements whatever their number: of 256 rows, 128, and so on, so that all there ever is to
 * build and keep are nine texts. With `key`, a row that is there under it is replaced: two rows of one call never have the same.
 * The first row ever given has to have these columns and no other, or what the list forgot would be lost in silence.
 */
export function prepareInsert<Inserted extends Row>(
  table: string,
  columns: readonly (keyof Inserted & string)[],
  { key }: { readonly key?: keyof Inserted & string } = {},
): (queries: Queries, rows: readonly Inserted[]) => Promise<void> {
  const row = Object.fromEntries(columns.map((column) => [column, new Parameter(column)]));
  const compilers = Array.from({ length: SIZES }, (_, power) =>
    compileOnce((queries) => {
      const insert = queries
        .withTables<Record<string, Row>>()
        .insertInto(table)
        .values(Array.from({ length: 2 ** power }, () => row));
      return key === undefined ? insert : insert.onConflict((conflict) => conflict.column(key).doUpdateSet((from) => given(from, columns)));
    }),
  );
  let isChecked = false;
  return async (queries, rows) => {
    if (!isChecked && rows[0] !== undefined) checkColumns(table, columns, rows[0]);
    isChecked ||= rows.length > 0;
    for (let at = 0; at < rows.length;) {
      const power = Math.min(SIZES - 1, Math.floor(Math.log2(rows.length - at)));
      const some = rows.slice(at, at + 2 ** power);
      await executeCompiled(queries, {
        ...compilers[power]!(queries),
        parameters: some.flatMap((one) => columns.map((column) => one[column])),
      });
      at += some.length;
    }
  };
}

function given<Inserted>(from: ExpressionBuilder<Record<string, Row>, string>, columns: readonly (keyof Inserted & string)[]) {
  return Object.fromEntries(columns.map((column) => [column, from.ref(`excluded.${column}`)]));
}

function checkColumns(table: string, columns: readonly string[], row: Row): void {
  const held = Object.keys(row);
  const odd = [...new Set(held).symmetricDifference(new Set(columns))];
  if (odd.length > 0) throw new TypeError(`Cannot insert into ${table}: ${odd.join(', ')} in row or list of columns, expected in both`);
}

/** One text for each database: an adapter belongs to one, and to all its connections and transactions. */
function compileOnce<Found>(build: (queries: Queries) => Compilable<Found>): (queries: Queries) => CompiledQuery<Found> {
  const compiled = new WeakMap<DialectAdapter, CompiledQuery<Found>>();
  return (queries) => {
    const { adapter } = queries.getExecutor();
    const kept = compiled.get(adapter);
    if (kept !== undefined) return kept;
    const query = build(queries).compile();
    compiled.set(adapter, query);
    return query;
  };
}

/** 1 to 256 rows. Of nine columns that is 2,304 parameters; SQLite takes 32,766, PostgreSQL 65,535. */
const SIZES = 9;
