import type { ProfileName } from '../../core/issuance/profile.ts';
import type { Queries } from '../../platform/db/database.ts';
import { type CertificateRecord, type CertificateRow, toCertificate } from './certificate-store.ts';

/** The issued certificate of a key, under a profile, that ends last; null: it has none. `spkiSha256` is hex. */
export async function findCertificateOfKey(queries: Queries, spkiSha256: string, profile: ProfileName): Promise<CertificateRecord | null> {
  const row = await queries
    .withTables<{ certificates: CertificateRow }>()
    .selectFrom('certificates')
    .selectAll()
    .where('spki_sha256', '=', spkiSha256)
    .where('profile', '=', profile)
    .where('status', '=', 'issued')
    .orderBy('not_after', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row === undefined ? null : toCertificate(row);
}
