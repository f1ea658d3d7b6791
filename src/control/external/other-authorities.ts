import type { OtherAuthority } from '../../core/issuance/issuance-order.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { CertificateRecord } from '../ca/certificate-store.ts';
import { findForeignCertificates } from './foreign-certificate-store.ts';
import { lifeOf, otherAuthorityOf } from './judge-request.ts';
import { listExternalAuthorities } from './store.ts';

/** For each of these certificates that was ordered at another CA: that CA as it is declared now, with the life that it gave. */
export async function findOtherAuthorities(
  queries: Queries,
  records: readonly CertificateRecord[],
): Promise<ReadonlyMap<CertificateRecord, OtherAuthority>> {
  const ordered = records.filter(({ door }) => door === 'external');
  if (ordered.length === 0) return new Map();
  const authorities = new Map((await listExternalAuthorities(queries, '*')).map((one) => [one.id as string, one]));
  const foreign = new Map((await findForeignCertificates(queries, ordered)).map((one) => [keyOf(one), one.authorityId]));
  return new Map(
    ordered.flatMap((record) => {
      const authority = authorities.get(foreign.get(keyOf(record)) ?? '');
      return authority === undefined ? [] : [[record, otherAuthorityOf(authority, lifeOf(record))] as const];
    }),
  );
}

function keyOf({ issuerId, serial }: Pick<CertificateRecord, 'issuerId' | 'serial'>): string {
  return `${issuerId} ${Buffer.from(serial).toString('hex')}`;
}
