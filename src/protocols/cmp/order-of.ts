import type { IssuanceRequest } from '../../control/ca/issuance-request.ts';
import { type RequestedNames, requestedNames } from '../../core/issuance/requested-names.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { CertificateRequest } from '../../core/x509/certificate-request.ts';
import { countNames } from '../../core/x509/general-name.ts';
import { CmpProblem } from './problems.ts';
import type { CertificateAsked } from './read-request.ts';
import { claimSecret, type CmpSecret } from './secret-store.ts';
import { grantOf } from './secret.ts';

/**
 * What a device asks the one door for by its secret. A request without alternative names gets all names of the secret, one with some gets those. One use is taken in
 * the commit that reserves the serial, or files the request.
 */
export function orderOf(secret: CmpSecret, asked: CertificateAsked, name: string, now: Instant): IssuanceRequest {
  const { role, profile, environment, region, id } = secret;
  const { csr, notAfter } = asked;
  return {
    door: 'cmp',
    profile,
    asker: { role, scope: [environment], spiffeId: null, name, grant: grantOf(secret) },
    actor: { kind: 'machine', name },
    csr,
    ...wantedNames(csr, secret),
    proxyId: null,
    environment,
    region,
    ...(notAfter === null ? {} : { lifetimeMs: notAfter - now }),
    claim: async ({ queries }) => {
      if (!(await claimSecret(queries, id, now)))
        throw new CmpProblem('notAuthorized', `Cannot use secret: ${id} is used up, revoked or expired`);
    },
  };
}

function wantedNames(csr: CertificateRequest, secret: CmpSecret): RequestedNames {
  if (countNames(csr.subjectAltNames) > 0) return requestedNames(csr);
  return { spiffeId: secret.spiffeId, names: { dns: secret.dnsNames, ip: secret.ipAddresses } };
}
