import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { listDueRenewals, postponeRenewal } from './foreign-certificate-store.ts';
import type { ForeignCertificate } from './foreign-certificate.ts';
import { SYSTEM } from './open-session.ts';
import type { OrderDeps } from './order-certificate.ts';
import { findOrderOf } from './order-store.ts';
import { type Ordered, requestExternalCertificate } from './request-certificate.ts';
import { nextRenewalAt } from './settle-order.ts';
import { findExternalAuthorityById } from './store.ts';

/**
 * Asks for a successor of each certificate whose time has come, by the request that it came of: the same key, whose holder alone has it, under the same
 * profile, with the approvals of the first. Policy is asked anew; what it refuses is tried again later, and stands in the log each time; where it now wants
 * more approvals than there were, a request waits for them.
 */
export async function renewCertificates(deps: OrderDeps, now: Instant): Promise<number> {
  const { database } = deps;
  let asked = 0;
  for (const due of await listDueRenewals(database.queries, now, RENEWALS_A_ROUND)) {
    try {
      const { kind } = await renew(deps, due, now);
      if (kind === 'ordered') asked += 1;
      else await postpone(deps, due, now);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      await postpone(deps, due, now);
    }
  }
  return asked;
}

async function renew(deps: OrderDeps, due: ForeignCertificate, now: Instant): Promise<Ordered> {
  const { queries } = deps.database;
  const authority = due.authorityId === null ? null : await findExternalAuthorityById(queries, due.authorityId);
  const order = await findOrderOf(queries, due);
  if (authority === null || order === null) throw new Problem('not-found', 'Cannot renew certificate: its authority or order is gone');
  const { profile, firstAskedBy, approvals, grantedMs, csr } = order;
  const asker = { role: 'control-plane', scope: [due.environment], spiffeId: null } as const;
  const request = { authority, csr: parseCertificateRequest(csr), profile, asker, askedBy: SYSTEM, firstAskedBy, approvals, grantedMs };
  return requestExternalCertificate(deps, { ...request, renews: due, endpointId: due.endpointId }, null, now);
}

function postpone({ database }: OrderDeps, due: ForeignCertificate, now: Instant): Promise<void> {
  return database.commit((unit) => postponeRenewal(unit.queries, due, nextRenewalAt(now, due.notAfter)));
}

const RENEWALS_A_ROUND = 50;
