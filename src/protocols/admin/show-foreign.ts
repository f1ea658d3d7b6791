import { type CertificateRecord, foreignDoors } from '../../control/ca/certificate-store.ts';
import { findForeignCertificates } from '../../control/external/foreign-certificate-store.ts';
import { findForeignRevocations } from '../../control/external/foreign-revocation-store.ts';
import type { Queries } from '../../platform/db/database.ts';
import { showCertificate } from './show-certificate.ts';

/** A page as lists have it; of certificates of other CAs also what the watch found, where they are to be served, when they are renewed, and whether their CA was asked to revoke them. Two questions more, if there are such. */
export async function withFindings(
  queries: Queries,
  page: readonly CertificateRecord[],
): Promise<readonly { readonly [name: string]: unknown }[]> {
  const foreign = page.filter(({ door }) => foreignDoors.includes(door));
  const revocations = new Map((await findForeignRevocations(queries, foreign)).map((asked) => [keyOf(asked), asked]));
  const watched = new Map((await findForeignCertificates(queries, foreign)).map((found) => [keyOf(found), found]));
  return page.map((record) => {
    const found = watched.get(keyOf(record));
    if (found === undefined) return showCertificate(record);
    const { finding, findingDetail, findingAt, endpointId, renewAt, authorityId } = found;
    const renewal = authorityId === null ? {} : { renewAt };
    const asked = revocations.get(keyOf(record));
    // Once it is revoked, the certificate says so itself.
    const revocation =
      asked === undefined || record.revokedAt !== null
        ? {}
        : { revocation: { status: asked.status, reason: asked.reason, detail: asked.detail } };
    return {
      ...showCertificate(record),
      watch: { finding, detail: findingDetail, since: findingAt, endpointId, ...renewal },
      ...revocation,
    };
  });
}

function keyOf({ issuerId, serial }: Pick<CertificateRecord, 'issuerId' | 'serial'>): string {
  return `${issuerId} ${Buffer.from(serial).toString('hex')}`;
}
