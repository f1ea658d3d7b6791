import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import type { Authorities } from './authorities.ts';
import { type CertificateKey, findCertificate } from './certificate-store.ts';
import { withBasis } from './grant-basis.ts';
import { IssuanceRefused } from './issuance-refused.ts';
import type { IssuanceRequest } from './issuance-request.ts';
import { findProfile } from './prepare-certificate.ts';
import { requestCertificate } from './request-certificate.ts';
import { findWithdrawn } from './standing.ts';
import { contentOf, digestOf, type WaitingStatus } from './waiting-request.ts';

/** The certificate, DER, or that persons have to approve first. */
export type Collected =
  | { readonly kind: 'issued'; readonly der: Uint8Array }
  | { readonly kind: 'waiting'; readonly id: EntityId<'request'> };

/**
 * As `requestCertificate`, for protocols whose clients say the same again until they are answered: what was approved meanwhile is handed out, as often as it is
 * asked for, and what was denied stays so for this very request. @throws issuance-refused, with the reason; what `requestCertificate` throws
 */
export async function requestOrCollect(
  deps: { readonly database: AuditedDatabase; readonly authorities: Authorities },
  request: IssuanceRequest,
  tokenId: EntityId<'token'> | null,
  now: Instant,
): Promise<Collected> {
  const { queries } = deps.database;
  const { approvals } = findProfile(deps.authorities, request.environment, request.profile) ?? {};
  const settled = approvals === undefined ? null : await findSettled(queries, request);
  const der = settled === null ? null : await answerOf(queries, settled, now);
  if (der !== null) return { kind: 'issued', der };
  const requested = await requestCertificate(deps, request, tokenId, now);
  return requested.kind === 'issued' ? { kind: 'issued', der: requested.certificate.der } : { kind: 'waiting', id: requested.request.id };
}

/** Null: it is to be asked anew. */
async function answerOf(queries: Queries, { status, reason, certificate }: Settled, now: Instant): Promise<Uint8Array | null> {
  if (status === 'denied' || status === 'refused')
    throw new IssuanceRefused([`the request was ${status}${reason === null ? '' : `: ${reason}`}`]);
  const record = certificate === null ? null : await findCertificate(queries, certificate.issuerKeySha256, certificate.serial);
  if (record === null || record.status !== 'issued' || record.notAfter <= now) return null;
  const withdrawn = await findWithdrawn(queries, record, now);
  if (withdrawn.length > 0) throw new IssuanceRefused(withdrawn.map((reason) => `what was issued for this request: ${reason}`));
  return record.der;
}

type Settled = { readonly status: WaitingStatus; readonly reason: string | null; readonly certificate: CertificateKey | null };

/** What became of the last request of this asker by this content; null: there was none, or it has not ended. */
async function findSettled(queries: Queries, request: IssuanceRequest): Promise<Settled | null> {
  const digest = digestOf(await withBasis(queries, contentOf(request)));
  const row = await queries
    .withTables<{ issuance_requests: SettledRow }>()
    .selectFrom('issuance_requests')
    .select(['status', 'reason', 'issuer_key_sha256', 'serial'])
    .where('digest', '=', digest)
    .where('settled_at', 'is not', null)
    .where('asker', '=', request.actor.name)
    .orderBy('settled_at', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (row === undefined) return null;
  const { status, reason, issuer_key_sha256: issuerKeySha256, serial } = row;
  const certificate = issuerKeySha256 === null || serial === null ? null : { issuerKeySha256, serial };
  return { status: status as WaitingStatus, reason, certificate };
}

type SettledRow = {
  digest: string;
  status: string;
  asker: string;
  settled_at: number | null;
  reason: string | null;
  issuer_key_sha256: string | null;
  serial: Uint8Array | null;
};
