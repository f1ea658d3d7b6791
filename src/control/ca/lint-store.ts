import { sql } from 'kysely';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { LintFinding } from '../../core/x509/lint-certificate.ts';
import type { Queries } from '../../platform/db/database.ts';
import { type CertificateRecord, type CertificateRow, foreignDoors, toCertificate } from './certificate-store.ts';

/** How far the certificates were held against the rules with this digest: up to the certificate that was reserved then, with this serial. */
export type LintRun = {
  readonly rules: string;
  readonly reservedAt: Instant;
  readonly serial: Uint8Array;
  readonly examined: number;
  /** Null while certificates are left. */
  readonly finishedAt: Instant | null;
};

type SerialOfIssuer = { readonly issuerId: EntityId<'authority'>; readonly serial: Uint8Array };

export async function findLintRun(queries: Queries): Promise<LintRun | null> {
  const row = await tables(queries).selectFrom('lint_runs').selectAll().where('name', '=', RUN).executeTakeFirst();
  if (row === undefined) return null;
  return { rules: row.rules, reservedAt: row.reserved_at, serial: row.serial, examined: Number(row.examined), finishedAt: row.finished_at };
}

export async function saveLintRun(queries: Queries, { rules, reservedAt, serial, examined, finishedAt }: LintRun): Promise<void> {
  const values = { rules, reserved_at: reservedAt, serial, examined, finished_at: finishedAt };
  await tables(queries)
    .insertInto('lint_runs')
    .values({ name: RUN, ...values })
    .onConflict((conflict) => conflict.column('name').doUpdateSet(values))
    .execute();
}

/** What ours issued, oldest first, after the place that the run has reached. */
export async function listUnlinted(queries: Queries, { reservedAt, serial }: LintRun, limit: number): Promise<CertificateRecord[]> {
  const rows = await tables(queries)
    .selectFrom('certificates')
    .selectAll()
    .where('reserved_at', '>=', reservedAt)
    .where((where) => where.or([where('reserved_at', '>', reservedAt), where('serial', '>', serial)]))
    .where('status', '=', sql.lit('issued'))
    .where('door', 'not in', foreignDoors)
    .orderBy('reserved_at')
    .orderBy('serial')
    .limit(limit)
    .execute();
  return rows.map(toCertificate);
}

/** Puts what was found in the place of what stood there; nothing found leaves no row. */
export async function replaceLintFindings(
  queries: Queries,
  { issuerId, serial }: SerialOfIssuer,
  found: { readonly rules: string; readonly findings: readonly LintFinding[]; readonly foundAt: Instant },
): Promise<void> {
  await tables(queries).deleteFrom('lint_findings').where('issuer_id', '=', issuerId).where('serial', '=', serial).execute();
  if (found.findings.length === 0) return;
  await tables(queries)
    .insertInto('lint_findings')
    .values({ issuer_id: issuerId, serial, rules: found.rules, findings: JSON.stringify(found.findings), found_at: found.foundAt })
    .execute();
}

/** What the last examination of a certificate found; empty if nothing, or if none was yet. */
export async function listLintFindings(queries: Queries, { issuerId, serial }: SerialOfIssuer): Promise<readonly LintFinding[]> {
  const row = await tables(queries)
    .selectFrom('lint_findings')
    .select('findings')
    .where('issuer_id', '=', issuerId)
    .where('serial', '=', serial)
    .executeTakeFirst();
  return row === undefined ? [] : (JSON.parse(row.findings) as readonly LintFinding[]);
}

/** How many certificates have findings. */
export async function countLintFindings(queries: Queries): Promise<number> {
  const row = await tables(queries)
    .selectFrom('lint_findings')
    .select((count) => count.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

type LintRunRow = {
  name: string;
  rules: string;
  reserved_at: number;
  serial: Uint8Array;
  examined: number;
  finished_at: number | null;
};
type LintFindingsRow = { issuer_id: string; serial: Uint8Array; rules: string; findings: string; found_at: number };

const tables = (queries: Queries) =>
  queries.withTables<{ certificates: CertificateRow; lint_runs: LintRunRow; lint_findings: LintFindingsRow }>();
const RUN = 'issued';
