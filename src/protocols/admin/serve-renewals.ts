import type { AuditedDatabase } from '../../control/audit/entry.ts';
import type { Authorities } from '../../control/ca/authorities.ts';
import { renewByCertificate } from '../../control/ca/renew-by-certificate.ts';
import type { Log } from '../../platform/log/logger.ts';
import { created, type Handlers } from './handler.ts';
import { readCsr } from './read-csr.ts';
import type { renewalRoutes } from './renewal-routes.ts';
import { showIssued } from './show-certificate.ts';

export type RenewalDeps = { readonly database: AuditedDatabase; readonly authorities: Authorities; readonly log: Log };

export function renewalHandlers({ database, authorities, log }: RenewalDeps): Pick<Handlers, keyof typeof renewalRoutes> {
  const refused = (reason: string, detail: string): void => log('warn', 'renewal.refused', { reason, detail });
  return {
    'renew-by-certificate': async ({ body, peerChain, now }) => {
      const request = { chain: peerChain(), csr: readCsr(body.csr) };
      return created(showIssued(await renewByCertificate({ database, authorities, refused }, request, now)));
    },
  };
}
