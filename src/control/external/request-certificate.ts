import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import { isKeyCompromised } from '../ca/certificate-store.ts';
import { fileRequest } from '../ca/file-request.ts';
import { withBasis } from '../ca/grant-basis.ts';
import { findProfile } from '../ca/prepare-certificate.ts';
import type { WaitingContent, WaitingRequest } from '../ca/waiting-request.ts';
import type { ExternalOrder } from './external-order.ts';
import { judgeRequest } from './judge-request.ts';
import { approvalsFor, findObstacles, judgedOf, orderCertificate, type OrderDeps, type OrderRequest } from './order-certificate.ts';

export type Ordered =
  | { readonly kind: 'ordered'; readonly order: ExternalOrder }
  | { readonly kind: 'waiting'; readonly request: WaitingRequest };

/**
 * Orders at another CA, or files the request where its profile wants persons to approve first, as many as did not, and nothing else stands against it. Asked for
 * the same again, the same request waits on. @throws what `orderCertificate` throws; rate-limited if too many wait
 */
export async function requestExternalCertificate(
  deps: OrderDeps,
  request: OrderRequest,
  tokenId: EntityId<'token'> | null,
  now: Instant,
): Promise<Ordered> {
  const { database, authorities } = deps;
  const profile = findProfile(authorities, request.authority.environment, request.profile);
  const approvals = profile?.approvals;
  const lacks = profile !== null && approvals !== undefined && approvalsFor(profile, request) < approvals.count;
  if (lacks && (await isWanted(deps, request, now))) {
    const { askedBy, firstAskedBy = askedBy, csr, claim } = request;
    const filed = await database.commit(async (unit) => {
      const content = await withBasis(unit.queries, contentOf(request));
      const filing = {
        content,
        asker: firstAskedBy.name,
        actor: askedBy,
        tokenId,
        spkiSha256: csr.spkiSha256,
        withinMs: approvals.withinMs,
      };
      return fileRequest(unit, { ...filing, ...(claim === undefined ? {} : { claim }) }, now);
    });
    return { kind: 'waiting', request: filed };
  }
  return { kind: 'ordered', order: await orderCertificate(deps, request, now) };
}

/** Whether nothing but approvals is lacking. */
async function isWanted({ database: { queries }, authorities }: OrderDeps, request: OrderRequest, now: Instant): Promise<boolean> {
  const profile = findProfile(authorities, request.authority.environment, request.profile);
  if (profile?.approvals === undefined || findObstacles(request).length > 0 || (request.renews?.renewal ?? null) !== null) return false;
  const facts = { keyBlocked: await isKeyCompromised(queries, request.csr.spkiSha256), approvals: profile.approvals.count };
  return judgeRequest(authorities, { profile, request: judgedOf(request) }, facts, now).kind === 'order';
}

/** All of a request that is to be kept. */
function contentOf({
  authority,
  csr,
  profile,
  asker,
  askedBy,
  firstAskedBy,
  renews,
  endpointId,
  grantedMs,
  note,
}: OrderRequest): WaitingContent {
  const { dns, ip } = csr.subjectAltNames;
  const { environment, region, id: authorityId, name } = authority;
  return {
    door: 'external',
    profile,
    asker,
    // Persons are forgotten by this name, whoever files for them.
    actor: firstAskedBy ?? askedBy,
    csr: Buffer.from(csr.der).toString('hex'),
    spiffeId: null,
    names: { dns, ip },
    environment,
    region,
    ...(note === undefined ? {} : { note }),
    external: {
      authorityId,
      authority: name,
      endpointId,
      renews: renews && { issuerId: renews.issuerId, serial: Buffer.from(renews.serial).toString('hex') },
      grantedMs: grantedMs ?? null,
    },
  };
}
