import { Problem } from '../../core/problems/problem.ts';
import { HOUR_MS, type Instant } from '../../core/time/instant.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { KeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';
import { openKey } from '../../platform/signer/key-envelope.ts';
import { makeSoftwareSigner } from '../../platform/signer/software-signer.ts';
import type { Authorities, IssuingAuthority } from './authorities.ts';
import { type AuthorityRecord, listAuthorities } from './authority-store.ts';
import { findKey } from './key-store.ts';

/**
 * Opens the issuing authorities, so that they can sign. The roots' keys stay closed: they sign on deliberate command only (CA/B BR 4.3.1.1).
 * @throws state-conflict before `initializeAuthorities`; key-locked
 */
export async function openAuthorities(deps: {
  readonly database: { readonly queries: Queries };
  readonly kek: KeyEncryptionKey;
  /** When they are opened; absent: the newest signs, however new it is. */
  readonly now?: Instant;
}): Promise<Authorities> {
  const { queries } = deps.database;
  const records = await listAuthorities(queries);
  const signing = publishedFirst(
    records.filter(({ kind, status }) => kind === 'issuing' && status === 'active').toReversed(),
    deps.now ?? Number.POSITIVE_INFINITY,
  );
  const [newest] = signing;
  if (newest === undefined)
    throw new Problem('state-conflict', 'Cannot open authorities: there are none, expected `countersign ca init` first');
  const roots = records.filter(({ kind }) => kind === 'root').map(({ certificate }) => parseCertificate(certificate));
  const issuing: IssuingAuthority[] = [];
  for (const record of signing) issuing.push(await openIssuing(queries, deps.kek, record));
  return { trustDomain: newest.trustDomain, issuing, roots };
}

/** Newest first, but that one whom other trust domains have had no time to hear of stands behind those that they know. */
function publishedFirst(newestFirst: readonly AuthorityRecord[], now: Instant): readonly AuthorityRecord[] {
  const isPublished = ({ createdAt }: AuthorityRecord): boolean => createdAt <= now - PUBLISHED_AHEAD_MS;
  return [...newestFirst.filter(isPublished), ...newestFirst.filter((record) => !isPublished(record))];
}

async function openIssuing(queries: Queries, kek: KeyEncryptionKey, record: AuthorityRecord): Promise<IssuingAuthority> {
  const key = await findKey(queries, record.id, 'issuing');
  if (key === null) throw new Problem('key-locked', `Cannot open authority ${record.id}: it has no key in this database`);
  const signer = makeSoftwareSigner(openKey(kek, { ownerId: record.id, purpose: 'issuing' }, key.envelope));
  const certificate: Certificate = parseCertificate(record.certificate);
  // A key that is not the certificate's would sign what nobody can verify.
  if (!signer.publicKey.export({ type: 'spki', format: 'der' }).equals(certificate.spki)) {
    throw new Problem('key-locked', `Cannot open authority ${record.id}: its key is not the one of its certificate`);
  }
  const { id, environment, region, crlUrl, crlShards, ocspUrl } = record;
  const keySha256 = certificate.spkiSha256;
  return { id, certificate, keySha256, environment, region, crlUrl, crlShards, ocspUrl, signer, chain: [record.certificate] };
}

/** Twelve polls of those who keep to the hint of our bundle. */
const PUBLISHED_AHEAD_MS = HOUR_MS;
