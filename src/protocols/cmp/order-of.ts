import type { IssuanceRequest } from '../../control/ca/issuance-request.ts';
import { askerOfGrant } from '../../control/grants/asker-of-grant.ts';
import { claimGrant } from '../../control/grants/claim-grant.ts';
import { boundsOf, type GrantBounds } from '../../control/grants/door-grant.ts';
import { type RequestedNames, requestedNames } from '../../core/issuance/requested-names.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { CertificateRequest } from '../../core/x509/certificate-request.ts';
import { countNames } from '../../core/x509/general-name.ts';
import { CmpProblem } from './problems.ts';
import type { CertificateAsked } from './read-request.ts';
import type { Sender } from './sender.ts';

/**
 * What a device asks the one door for by its secret. A request without alternative names gets all names of the grant, one with some gets those. One use is taken in
 * the commit that reserves the serial, or files the request.
 */
export function orderOf(
  {
    sender: { grant, name },
    asked,
    transactionId,
  }: {
    readonly sender: Sender & { readonly kind: 'secret' };
    readonly asked: CertificateAsked;
    readonly transactionId: Uint8Array;
  },
  now: Instant,
): IssuanceRequest {
  const { environment, region, id, door } = grant;
  const bounds = boundsOf(grant);
  const { csr, notAfter } = asked;
  return {
    door: 'cmp',
    profile: bounds.profile,
    asker: askerOfGrant(grant, name),
    actor: { kind: 'machine', name },
    csr,
    ...wantedNames(csr, bounds),
    proxyId: null,
    environment,
    region,
    ...(notAfter === null ? {} : { lifetimeMs: notAfter - now }),
    claim: async (unit) => {
      const fault = await claimGrant(unit, { id, door, by: Buffer.from(transactionId).toString('hex'), spkiSha256: csr.spkiSha256 }, now);
      if (fault !== null) throw refusedSecret({ name }, fault);
    },
  };
}

/** The reason is for the log. */
export function refusedSecret({ name }: Pick<Sender, 'name'>, fault: string): CmpProblem {
  return new CmpProblem('notAuthorized', `Cannot use secret: ${name}: ${fault}`);
}

function wantedNames(csr: CertificateRequest, { spiffeId, names }: GrantBounds): RequestedNames {
  return countNames(csr.subjectAltNames) > 0 ? requestedNames(csr) : { spiffeId, names };
}
