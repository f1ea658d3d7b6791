import { setImmediate } from 'node:timers/promises';
import { decideIssuance } from '../../core/issuance/decide-issuance.ts';
import type {
  Asker,
  CertificateTemplate,
  IssuanceFacts,
  IssuanceOrder,
  IssuanceReason,
  OtherAuthority,
} from '../../core/issuance/issuance-order.ts';
import { declaredDoors } from '../../core/issuance/profile-spec.ts';
import type { AskerRole, Profile } from '../../core/issuance/profile.ts';
import { SECOND_MS } from '../../core/time/instant.ts';
import { noNames } from '../../core/x509/general-name.ts';
import { buildName } from '../../core/x509/name.ts';
import { oids } from '../../core/x509/oid.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { ProfileBook } from '../policies/declared-profiles.ts';
import type { Authorities, IssuingAuthority } from './authorities.ts';
import type { CertificateRecord } from './certificate-store.ts';
import { factsOf, factsOfOther } from './prepare-certificate.ts';
import { type CertificateFilter, listCertificates } from './search-certificates.ts';

/** What would be different about one certificate. */
export type ReplayDifference = {
  readonly record: CertificateRecord;
  /** `waits`: persons would have had to approve of it first. */
  readonly verdict: 'changed' | 'waits' | 'refused';
  readonly reasons: readonly IssuanceReason[];
  readonly changes: readonly { readonly field: string; readonly before: string; readonly after: string }[];
};

export type ReplayPage = {
  /** How many were judged; those of other doors, of authorities that sign no more, and of other CAs that are declared no more are not. */
  readonly judged: number;
  readonly differences: readonly ReplayDifference[];
  /** The last that was looked at; null: there are no more. */
  readonly next: CertificateRecord | null;
};

/**
 * What the certificates of a page, newest first, would have got under other profiles, by the evaluator that issued them. The asker's role, names and key are as
 * they were, those of another CA as it is declared now; a CSR's own wishes and a token's grant were not kept, so they count as kept. A certificate of the usual life is given the usual life anew.
 */
export async function replayIssuances(
  deps: {
    readonly queries: Queries;
    readonly authorities: Authorities;
    readonly now: ProfileBook;
    readonly trial: ProfileBook;
    /** The other CAs of those that were ordered there. */
    readonly findOthers: (
      queries: Queries,
      records: readonly CertificateRecord[],
    ) => Promise<ReadonlyMap<CertificateRecord, OtherAuthority>>;
  },
  filter: CertificateFilter,
): Promise<ReplayPage> {
  const records = await listCertificates(deps.queries, filter);
  const others = await deps.findOthers(deps.queries, records);
  const differences: ReplayDifference[] = [];
  let judged = 0;
  for (const [index, record] of records.entries()) {
    // Others wait on this thread: what takes some tenths of a millisecond each is not done in one go.
    if (index % 50 === 49) await setImmediate();
    const signer = others.get(record) ?? deps.authorities.issuing.find(({ id }) => id === record.issuerId);
    if (record.der === null || signer === undefined || !(declaredDoors as readonly string[]).includes(record.door)) continue;
    judged += 1;
    const difference = replay(deps, record, { signer, certificate: parseCertificate(record.der) });
    if (difference !== null) differences.push(difference);
  }
  return { judged, differences, next: records.length < filter.limit ? null : records.at(-1)! };
}

type Books = { readonly authorities: Authorities; readonly now: ProfileBook; readonly trial: ProfileBook };
/** What it is, and who signs such. */
type Held = { readonly signer: IssuingAuthority | OtherAuthority; readonly certificate: Certificate };

function replay(books: Books, record: CertificateRecord, held: Held): ReplayDifference | null {
  const profile = books.trial.find(record.environment, record.profile);
  const { certificate } = held;
  if (profile === null) return refused(record, [{ rule: 'asker', message: `there is no profile ${record.profile}` }]);
  const order = orderOf(record, certificate, profile);
  const decision = decideIssuance(
    record.reservedAt,
    profile,
    { ...order, ...lifeOf(books, record, held) },
    factsFor(books, record, held, 0),
  );
  if (decision.kind === 'refuse') return refused(record, decision.reasons);
  const changes = decision.kind === 'order' ? lacking(certificate, decision.purposes) : changesOf(certificate, decision.template);
  return changes.length === 0 ? null : { record, verdict: 'changed', reasons: [], changes };
}

function refused(record: CertificateRecord, reasons: readonly IssuanceReason[]): ReplayDifference {
  const verdict = reasons.every(({ rule }) => rule === 'approval') ? 'waits' : 'refused';
  return { record, verdict, reasons, changes: [] };
}

function factsFor({ authorities }: Books, { environment, serial }: CertificateRecord, { signer }: Held, approvals: number): IssuanceFacts {
  return 'signer' in signer
    ? factsOf(authorities, signer, { serial, approvals })
    : { ...factsOfOther(authorities, environment, signer), approvals };
}

/** Whoever got the usual life of the profile as it is asked for none; everybody else asked for what they got. */
function lifeOf(books: Books, record: CertificateRecord, held: Held): Pick<IssuanceOrder, 'lifetimeMs'> {
  const { signer, certificate } = held;
  // Another CA is told no life.
  if (!('signer' in signer)) return {};
  const profile = books.now.find(record.environment, record.profile);
  const facts = factsFor(books, record, held, profile?.approvals?.count ?? 0);
  const usual = profile && decideIssuance(record.reservedAt, profile, orderOf(record, certificate, profile), facts);
  if (usual?.kind === 'issue' && usual.template.fields.notAfter === certificate.notAfter) return {};
  const start = Math.floor(record.reservedAt / SECOND_MS) * SECOND_MS;
  return { lifetimeMs: certificate.notAfter + SECOND_MS - start };
}

function orderOf(record: CertificateRecord, certificate: Certificate, profile: Profile): IssuanceOrder {
  const { door, environment, spiffeId, names } = record;
  const { spki, spkiSha256, publicKey: publicKeyKind } = certificate;
  const key = { spki, spkiSha256, publicKeyKind, subject: buildName([]), subjectAltNames: noNames };
  const asker = askerOf(record, profile);
  return { door, asker, environment, key, spiffeId, dnsNames: names.dns, ipAddresses: names.ip, authorityName: null };
}

/** Before roles were kept, whoever the profile takes at this door. */
function askerOf({ door, spiffeId, asker, askerRole, names }: CertificateRecord, profile: Profile): Asker {
  const role: AskerRole = askerRole ?? profile.askers[door]?.[0] ?? 'operator';
  const named = askerRole === null ? [...(profile.identities?.[door] ?? [])][0] : asker;
  const isMachine = role === 'data-plane' || role === 'scanner';
  return {
    role,
    scope: '*',
    spiffeId: isMachine ? spiffeId : null,
    ...(named == null ? {} : { name: named }),
    ...(door === 'acme' ? { provenNames: [...names.dns, ...names.ip] } : {}),
  };
}

/** What another CA gave and would not be taken now. */
function lacking({ extendedKeyUsage }: Certificate, purposes: readonly string[]): ReplayDifference['changes'] {
  const before = extendedKeyUsage ?? purposes;
  if (purposes.every((purpose) => before.includes(purpose))) return [];
  return [{ field: 'extendedKeyUsage', before: list(before), after: list(new Set([...before, ...purposes])) }];
}

function changesOf(held: Certificate, { fields }: CertificateTemplate): ReplayDifference['changes'] {
  const pairs: readonly (readonly [string, string, string])[] = [
    ['lifetime', life(held), life(fields)],
    ['extendedKeyUsage', list(held.extendedKeyUsage ?? []), list(fields.extendedKeyUsage ?? [])],
    ['keyUsage', list(held.keyUsage ?? []), list(fields.keyUsage ?? [])],
    [
      'revocation',
      held.extensions.some(({ oid }) => oid === oids.noRevAvail) ? 'not available' : 'available',
      fields.noRevAvail === true ? 'not available' : 'available',
    ],
  ];
  return pairs.flatMap(([field, before, after]) => (before === after ? [] : [{ field, before, after }]));
}

function life({ notBefore, notAfter }: { readonly notBefore: number; readonly notAfter: number }): string {
  return `${Math.round((notAfter + SECOND_MS - notBefore) / SECOND_MS)} s`;
}

function list(words: Iterable<string>): string {
  return [...words].toSorted().join(' ');
}
