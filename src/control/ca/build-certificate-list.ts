import { HOUR_MS, type Instant, SECOND_MS } from '../../core/time/instant.ts';
import { assembleCertificateList, buildTbsCertificateList, type RevokedEntry } from '../../core/x509/build-certificate-list.ts';
import { lintTbsCertificateList } from '../../core/x509/lint-certificate-list.ts';
import { encodedEntriesOf, mergeListEntries } from '../../core/x509/merge-list-entries.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import type { IssuingAuthority } from './authorities.ts';
import { crlUrlOf } from './crl-path.ts';
import {
  type CrlBase,
  type CrlRecord,
  type CrlState,
  dropFromCrl,
  findCrl,
  listCrlChanges,
  type ListedRevocation,
  listLeavingCrl,
  publishCrl,
} from './crl-store.ts';
import { VettedEntries } from './vetted-entries.ts';

/**
 * Builds and publishes one shard of an authority's list, complete and delta under one number (RFC 5280 section 5): what the last one held is taken
 * over as it stands, only what came since is encoded.
 * @returns null if there were enough lists in this second, or another process published meanwhile
 * @throws internal if the list breaks a rule of the lint, which says so
 */
export async function buildCertificateList(
  { database }: { readonly database: AuditedDatabase },
  authority: IssuingAuthority,
  shard: number,
  now: Instant,
): Promise<CrlRecord | null> {
  const { queries } = database;
  // The revision is read before the entries: a revocation in between is listed early and again, never missed.
  const before = await findCrl(queries, authority.id, shard);
  if (before === null) throw new Problem('not-found', `Cannot build CRL: authority ${authority.id} has no shard ${shard}`);
  const thisUpdate = Math.floor(now / SECOND_MS) * SECOND_MS;
  if (before.built !== null && !mayFollow(before, thisUpdate)) return null;
  const number = nextNumber(before, thisUpdate);
  const covered = before.revision;
  // What expired before the last list was on it after its expiry, and may go (RFC 5280 section 3.3).
  const leaving = before.built === null ? null : { before: before.built.thisUpdate, covered: before.covered };
  const coming = await listCrlChanges(queries, before, before.built === null ? 0 : before.covered);
  const entries = mergeListEntries(before.built === null ? NOTHING : encodedEntriesOf(before.built.der), {
    leaving: leaving === null ? [] : await listLeavingCrl(queries, before, leaving),
    coming: coming.map((entry) => entryAt(entry, thisUpdate)),
  });
  const base = before.base ?? { number, covered, thisUpdate };
  const changes = await listCrlChanges(queries, before, base.covered);
  const sign = (list: Parameters<typeof signList>[1]) => signList(authority, list, { shard, number, thisUpdate }, now);
  const der = await sign({ kind: 'full', entries });
  const delta = await sign({ kind: 'delta', base, entries: changes.map((entry) => entryAt(entry, thisUpdate)) });
  const built = { thisUpdate, nextUpdate: thisUpdate + LIFE_MS, der, delta };
  const next = { number, covered, built, base: isBaseSpent(base, changes.length, thisUpdate) ? { number, covered, thisUpdate } : base };
  const published = await database.commit(async (unit) => {
    if (!(await publishCrl(unit.queries, before, next))) return false;
    if (leaving !== null) await dropFromCrl(unit.queries, before, leaving);
    const { environment, region, id } = authority;
    const data = { authorityId: id, number, shard, base: base.number, thisUpdate, nextUpdate: built.nextUpdate, octets: der.length };
    recordEntry(unit, { type: 'crl.published', at: now, environment, region, actor: { kind: 'system', name: 'ca' }, data });
    return true;
  });
  return published ? { ...before, ...next, thisUpdate } : null;
}

/** True if the list does not say all that it must, or half of its life is over. */
export function isListDue({ thisUpdate, covered, revision }: CrlState, now: Instant): boolean {
  return thisUpdate === null || covered < revision || now >= thisUpdate + LIFE_MS / 2;
}

/**
 * Never back in time. In a burst a few lists may share a second, whose numbers then run ahead of the clock; in the long run there is one a second.
 */
function mayFollow({ thisUpdate, number, covered, revision }: CrlState, next: Instant): boolean {
  if (thisUpdate === null || next > thisUpdate) return true;
  return next === thisUpdate && covered < revision && number < next / SECOND_MS + MAXIMUM_AHEAD;
}

/** Rises with every list, and with time: a database that was restored from yesterday's copy goes on above what it had published since. */
function nextNumber({ number }: CrlState, thisUpdate: Instant): number {
  return Math.max(number + 1, thisUpdate / SECOND_MS);
}

/** A delta that grew, or whose base is older than a client would keep it. */
function isBaseSpent(base: CrlBase, changes: number, thisUpdate: Instant): boolean {
  return changes > MAXIMUM_DELTA_ENTRIES || thisUpdate - base.thisUpdate >= LIFE_MS / 2;
}

function entryAt({ serial, revokedAt, reason }: ListedRevocation, thisUpdate: Instant): RevokedEntry {
  return { serial, reason, revokedAt: Math.min(revokedAt, thisUpdate) };
}

async function signList(
  authority: IssuingAuthority,
  list:
    | { readonly kind: 'full'; readonly entries: Uint8Array }
    | { readonly kind: 'delta'; readonly base: CrlBase; readonly entries: readonly RevokedEntry[] },
  { shard, number, thisUpdate }: { readonly shard: number; readonly number: number; readonly thisUpdate: Instant },
  now: Instant,
): Promise<Uint8Array> {
  const { certificate, signer } = authority;
  const url = crlUrlOf(authority, shard);
  const deltaUrl = crlUrlOf(authority, shard, 'delta');
  const tbs = buildTbsCertificateList({
    signatureAlgorithm: signer.algorithm,
    issuer: certificate.subject,
    thisUpdate,
    nextUpdate: thisUpdate + LIFE_MS,
    ...(list.kind === 'full' ? { entries: [], encodedEntries: list.entries } : { entries: list.entries }),
    authorityKeyId: Buffer.from(certificate.subjectKeyId ?? '', 'hex'),
    crlNumber: octetsOf(number),
    // The same scope in both (RFC 5280 section 5.2.4).
    ...(url === null ? {} : { distributionUri: url }),
    ...(list.kind === 'delta' ? { deltaBase: octetsOf(list.base.number) } : deltaUrl === null ? {} : { freshestUri: deltaUrl }),
  });
  const key = `${authority.id}/${shard}`;
  const lint = lintTbsCertificateList(tbs, certificate, { now, vetted: list.kind === 'full' ? vetted.find(key, thisUpdate) : null });
  if (lint.kind === 'faulty') {
    throw new Problem('internal', `Cannot build CRL: ${lint.findings.map(({ rule, message }) => `${rule}: ${message}`).join('; ')}`);
  }
  if (list.kind === 'full') vetted.keep(key, list.entries, thisUpdate);
  return assembleCertificateList(tbs, signer.algorithm, await signer.sign(lint.tbs));
}

function octetsOf(number: number): Uint8Array {
  return Buffer.from(number.toString(16).padStart(16, '0'), 'hex');
}

const vetted = new VettedEntries();
const NOTHING = new Uint8Array(0);
/** CA/B BR 4.9.7 allows ten days; a list is renewed at half of its life. */
const LIFE_MS = 48 * HOUR_MS;
/** Three lists in one second at most. */
const MAXIMUM_AHEAD = 2;
/** Beyond this a delta saves its readers too little. */
const MAXIMUM_DELTA_ENTRIES = 1_000;
