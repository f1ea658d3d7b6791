import { parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { StartOrder } from '../ca/finish-request.ts';
import { IssuanceRefused } from '../ca/issuance-refused.ts';
import type { ExternalContent, WaitingRequest } from '../ca/waiting-request.ts';
import { findForeignCertificate } from './foreign-certificate-store.ts';
import type { ForeignCertificate } from './foreign-certificate.ts';
import { SYSTEM } from './open-session.ts';
import { orderCertificate, type OrderDeps, type OrderRequest } from './order-certificate.ts';
import { findExternalAuthorityById } from './store.ts';

/** How `control/ca` starts what was approved and goes to another CA, under the policy of now. */
export function makeStartOrder(deps: OrderDeps): StartOrder {
  return async (request, hooks, now) => {
    await orderCertificate(deps, { ...(await orderOf(deps.database.queries, request)), ...hooks }, now);
  };
}

async function orderOf(queries: Queries, { id, content }: WaitingRequest): Promise<Omit<OrderRequest, 'approvals'>> {
  const { external, asker, actor, profile, csr, note } = content;
  if (external === undefined) throw new Error('a request for a certificate of ours goes to no other CA');
  const authority = await findExternalAuthorityById(queries, external.authorityId);
  if (authority === null) throw new IssuanceRefused([`the authority ${external.authority} is declared no more`]);
  // What the engine asked for is its own, though persons agreed to it.
  const askedBy = asker.role === 'control-plane' ? SYSTEM : actor;
  return {
    authority,
    csr: parseCertificateRequest(new Uint8Array(Buffer.from(csr, 'hex'))),
    profile,
    asker,
    askedBy,
    firstAskedBy: actor,
    renews: await findRenewed(queries, external),
    endpointId: external.endpointId,
    grantedMs: external.grantedMs,
    note: { ...note, requestId: id },
  };
}

async function findRenewed(queries: Queries, { renews }: ExternalContent): Promise<ForeignCertificate | null> {
  if (renews === null) return null;
  const found = await findForeignCertificate(queries, {
    issuerId: renews.issuerId,
    serial: new Uint8Array(Buffer.from(renews.serial, 'hex')),
  });
  if (found === null) throw new IssuanceRefused(['what it renews is not in the inventory any more']);
  return found;
}
