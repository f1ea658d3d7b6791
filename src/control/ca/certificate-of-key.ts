import type { ProfileName } from '../../core/issuance/profile.ts';
import type { Queries } from '../../platform/db/database.ts';
import { type CertificateRecord, type CertificateRow, toCertificate } from './certificate-store.ts';

/** The issued certificate of a key, under a profile, that ends last; null: it has none. `spkiSha256` is hex. */
export async function findCertificateOfKey(queries: Queries, spkiSha256: string, profile: ProfileName): Promise<CertificateRecord | null> {
  // By the key alone: an index by profile would be taken instead, and read all that it ever issued.
  const rows = await queries
    .withTables<{ certificates: CertificateRow }>()
    .selectFrom('certificates')
    .selectAll()
    .where('spki_sha256', '=', spkiSha256)
    .where('status', '=', 'issued')
    .orderBy('not_after', 'desc')
    .limit(MAXIMUM_LOOKED_AT)
    .execute();
  const row = rows.find((one) => one.profile === profile);
  return row === undefined ? null : toCertificate(row);
}

/** A key that is renewed and renewed has many, of which the last counts. */
const MAXIMUM_LOOKED_AT = 20;
