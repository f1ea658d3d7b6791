import type { Asker, IssuanceRule } from '../../core/issuance/issuance-order.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { CertificateRequest } from '../../core/x509/certificate-request.ts';
import type { Queries } from '../../platform/db/database.ts';
import { type CertificateNames, isKeyCompromised } from '../ca/certificate-store.ts';
import { explain, type Explanation, noProfile, OF_THE_KEY, someKey } from '../ca/explain-request.ts';
import { findProfile } from '../ca/prepare-certificate.ts';
import type { ExternalAuthorityRecord } from './external-authority.ts';
import { judgeRequest, type OrderPolicy } from './judge-request.ts';

/** A request that may have no key yet. */
export type AskedOrder = {
  readonly authority: ExternalAuthorityRecord;
  readonly profile: ProfileName;
  readonly asker: Asker;
  readonly csr: CertificateRequest | null;
  readonly names: CertificateNames;
  readonly lifetimeMs?: number;
};

/**
 * What every rule makes of a first order at another CA, by the evaluator that decides orders; nothing is ordered or logged. How long its certificates last is
 * not known before one comes.
 */
export async function explainExternalRequest(
  { queries, authorities }: { readonly queries: Queries; readonly authorities: OrderPolicy },
  asked: AskedOrder,
  now: Instant,
): Promise<Explanation> {
  const { authority, csr, lifetimeMs } = asked;
  const profile = findProfile(authorities, authority.environment, asked.profile);
  if (profile === null) return noProfile;
  const facts = { keyBlocked: csr !== null && (await isKeyCompromised(queries, csr.spkiSha256)), approvals: 0 };
  const request = { ...asked, key: csr ?? someKey(profile), renews: null };
  const decision = judgeRequest(authorities, { profile, request }, facts, now);
  const ofTheLife: readonly IssuanceRule[] = lifetimeMs === undefined ? ['lifetime'] : [];
  return explain(profile, decision, csr === null ? [...OF_THE_KEY, ...ofTheLife] : ofTheLife);
}
