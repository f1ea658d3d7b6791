import type { Instant } from '../../core/time/instant.ts';
import { parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { Problem } from '../../core/problems/problem.ts';
import { listDueRenewals, postponeRenewal } from './foreign-certificate-store.ts';
import { SYSTEM } from './open-session.ts';
import { requestExternalCertificate } from './request-certificate.ts';
import { nextRenewalAt } from './settle-order.ts';
import { findOrderOf } from './order-store.ts';
import { findExternalAuthorityById } from './store.ts';

/**
 * Asks for a successor of each certificate whose time has come, by the request that it came of: the same key, whose holder alone has it.
 * Policy is asked anew; what it refuses is tried again later, and stands in the log each time.
 */
export async function renewCertificates(deps: Parameters<typeof requestExternalCertificate>[0], now: Instant): Promise<number> {
  const { queries } = deps.database;
  let asked = 0;
  for (const due of await listDueRenewals(queries, now, RENEWALS_A_ROUND)) {
    const authority = due.authorityId === null ? null : await findExternalAuthorityById(queries, due.authorityId);
    const order = await findOrderOf(queries, due);
    try {
      if (authority === null || order === null) throw new Problem('not-found', 'Cannot renew certificate: its authority or order is gone');
      const csr = parseCertificateRequest(order.csr);
      await requestExternalCertificate(deps, { authority, csr, role: null, renews: due, endpointId: due.endpointId }, SYSTEM, now);
      asked += 1;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      await deps.database.commit((unit) => postponeRenewal(unit.queries, due, nextRenewalAt(now, due.notAfter)));
    }
  }
  return asked;
}

const RENEWALS_A_ROUND = 50;
