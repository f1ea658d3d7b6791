import { HOUR_MS, type Instant, SECOND_MS } from '../../core/time/instant.ts';
import { assembleCertificateList, buildTbsCertificateList } from '../../core/x509/build-certificate-list.ts';
import { lintTbsCertificateList } from '../../core/x509/lint-certificate-list.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import type { IssuingAuthority } from './authorities.ts';
import { type CrlRecord, dropExpiredFromCrl, findCrl, listCrlEntries, publishCrl } from './revocation-store.ts';

/**
 * Builds and publishes the full list of an authority (RFC 5280 section 5), whose number rises by one. Two lists never share a second,
 * which is all that `thisUpdate` and Last-Modified can tell apart.
 * @returns null if the last list is of this second, or another process published meanwhile
 * @throws internal if the list breaks a rule of the lint, which says so
 */
export async function buildCertificateList(
  deps: { readonly database: AuditedDatabase },
  authority: IssuingAuthority,
  now: Instant,
): Promise<CrlRecord | null> {
  const { queries } = deps.database;
  // The revision is read before the entries: a revocation in between is listed early and again, never missed.
  const before = await findCrl(queries, authority.id, FULL_LIST);
  if (before === null) throw new Problem('not-found', `Cannot build CRL: authority ${authority.id} has none`);
  const thisUpdate = Math.floor(now / SECOND_MS) * SECOND_MS;
  if (before.built !== null && thisUpdate <= before.built.thisUpdate) return null;
  const number = before.number + 1;
  const built = { thisUpdate, nextUpdate: thisUpdate + LIFE_MS, der: await signList(queries, authority, { number, thisUpdate }, now) };
  const published = await deps.database.commit(async (unit) => {
    if (!(await publishCrl(unit.queries, before, { number, covered: before.revision, built }))) return false;
    // What expired before the last list was on it after its expiry (RFC 5280 section 3.3).
    await dropExpiredFromCrl(unit.queries, before, before.built?.thisUpdate ?? 0);
    const { environment, region, id } = authority;
    const data = { authorityId: id, number, shard: FULL_LIST, thisUpdate, nextUpdate: built.nextUpdate, octets: built.der.length };
    recordEntry(unit, { type: 'crl.published', at: now, environment, region, actor: { kind: 'system', name: 'ca' }, data });
    return true;
  });
  return published ? { ...before, number, covered: before.revision, built } : null;
}

/** True if the list does not say all that it must, or half of its life is over. */
export function isListDue(list: CrlRecord, now: Instant): boolean {
  return list.built === null || list.covered < list.revision || now >= list.built.thisUpdate + LIFE_MS / 2;
}

async function signList(
  queries: AuditedDatabase['queries'],
  { id, certificate, crlUrl, signer }: IssuingAuthority,
  { number, thisUpdate }: { readonly number: number; readonly thisUpdate: Instant },
  now: Instant,
): Promise<Uint8Array> {
  const entries = await listCrlEntries(queries, id, FULL_LIST);
  const tbs = buildTbsCertificateList({
    signatureAlgorithm: signer.algorithm,
    issuer: certificate.subject,
    thisUpdate,
    nextUpdate: thisUpdate + LIFE_MS,
    entries: entries.map((entry) => ({ ...entry, revokedAt: Math.min(entry.revokedAt, thisUpdate) })),
    authorityKeyId: Buffer.from(certificate.subjectKeyId ?? '', 'hex'),
    crlNumber: Buffer.from(number.toString(16).padStart(16, '0'), 'hex'),
    ...(crlUrl === null ? {} : { distributionUri: crlUrl }),
  });
  const lint = lintTbsCertificateList(tbs, certificate, { now });
  if (lint.kind === 'faulty') {
    throw new Problem('internal', `Cannot build CRL: ${lint.findings.map(({ rule, message }) => `${rule}: ${message}`).join('; ')}`);
  }
  return assembleCertificateList(tbs, signer.algorithm, await signer.sign(lint.tbs));
}

const FULL_LIST = 0;
/** CA/B BR 4.9.7 allows ten days; a list is renewed at half of its life. */
const LIFE_MS = 48 * HOUR_MS;
