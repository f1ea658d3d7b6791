import { setImmediate as turn } from 'node:timers/promises';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { lintAnyCertificate } from '../../core/x509/lint-any-certificate.ts';
import type { LintFinding } from '../../core/x509/lint-certificate.ts';
import { lintExceptions } from '../../core/x509/lint-rule.ts';
import { lintRulesVersion } from '../../core/x509/lint-version.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { listAuthorities } from './authority-store.ts';
import type { CertificateRecord } from './certificate-store.ts';
import { countLintFindings, findLintRun, type LintRun, listUnlinted, replaceLintFindings, saveLintRun } from './lint-store.ts';

/** What one pass did; `settled` once all that was issued has been held against the rules of today. */
export type RelintPass = { readonly examined: number; readonly faulty: number; readonly settled: boolean };

/**
 * Holds a bounded number of the certificates issued against today's rules, from where the last pass ended; rules that changed begin anew.
 * What is issued meanwhile was held against the same rules before its signature, so that the run ends where it first finds no more.
 */
export async function relintCertificates(
  { database, rules = lintRulesVersion }: { readonly database: AuditedDatabase; readonly rules?: string },
  now: Instant,
): Promise<RelintPass> {
  const kept = await findLintRun(database.queries);
  const run = kept?.rules === rules ? kept : { rules, reservedAt: 0, serial: new Uint8Array(), examined: 0, finishedAt: null };
  if (run.finishedAt !== null) return { examined: 0, faulty: 0, settled: true };
  const page = await listUnlinted(database.queries, run, CERTIFICATES_A_PASS);
  const found = await lintPage(database, page);
  const last = page.at(-1);
  const next: LintRun = {
    ...run,
    ...(last === undefined ? {} : { reservedAt: last.reservedAt, serial: last.serial }),
    examined: run.examined + page.length,
    finishedAt: page.length < CERTIFICATES_A_PASS ? now : null,
  };
  await database.commit(async (unit) => {
    for (const { record, findings } of found) await replaceLintFindings(unit.queries, record, { rules, findings, foundAt: now });
    await saveLintRun(unit.queries, next);
    if (next.finishedAt === null) return;
    const faulty = await countLintFindings(unit.queries);
    // A first start, with all as it should be, is no event.
    if (kept === null && faulty === 0) return;
    const data = { rules, examined: next.examined, faulty };
    recordEntry(unit, { type: 'certificates.relinted', at: now, environment: '*', region: '*', actor: SYSTEM, data });
  });
  const faulty = found.filter(({ findings }) => findings.length > 0).length;
  return { examined: page.length, faulty, settled: next.finishedAt !== null };
}

type Linted = { readonly record: CertificateRecord; readonly findings: readonly LintFinding[] };

async function lintPage({ queries }: AuditedDatabase, page: readonly CertificateRecord[]): Promise<readonly Linted[]> {
  if (page.length === 0) return [];
  const issuers = new Map((await listAuthorities(queries)).map(({ id, certificate }) => [id, tryParse(certificate)]));
  const linted: Linted[] = [];
  for (const record of page) {
    // Issuance goes on between them.
    if (linted.length % CERTIFICATES_A_TURN === 0) await turn();
    linted.push({ record, findings: findingsOf(record, issuers.get(record.issuerId) ?? null) });
  }
  return linted;
}

/** Errors only: what is mere custom was decided when it was issued. What a drill breaks on purpose is no finding. */
function findingsOf({ der, profile }: CertificateRecord, issuer: Certificate | null): readonly LintFinding[] {
  if (der === null) return [];
  const excepted: readonly string[] = profile === 'drill' ? lintExceptions : [];
  return lintAnyCertificate(der, { issuer, blockedKeys: new Set() })
    .filter(({ level, rule }) => level === 'error' && !excepted.includes(rule))
    .map(({ rule, clause, message }) => ({ rule, clause, message }));
}

function tryParse(der: Uint8Array): Certificate | null {
  try {
    return parseCertificate(der);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return null;
  }
}

const SYSTEM = { kind: 'system', name: 'ca' } as const;
const CERTIFICATES_A_PASS = 200;
/** Some milliseconds of work. */
const CERTIFICATES_A_TURN = 10;
