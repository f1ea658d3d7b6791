import type { CertificateSelection } from '../../control/ca/search-certificates.ts';
import { parseSpiffeId, serviceSpiffeId } from '../../core/identity/spiffe-id.ts';
import type { TrustDomain } from '../../core/identity/trust-domain.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Door, ProfileName } from '../../core/issuance/profile.ts';
import { Problem } from '../../core/problems/problem.ts';

/** The criteria that a list and a revocation have in common, those that are there. */
export function criteriaOf(given: {
  readonly identity?: string;
  readonly name?: string;
  readonly serial?: string;
  readonly key?: string;
  readonly profile?: ProfileName;
  readonly door?: Door;
  readonly issuer?: string;
}): Partial<CertificateSelection> {
  const { identity, name, serial, key, profile, door, issuer } = given;
  return {
    ...(identity === undefined ? {} : { spiffeId: parseSpiffeId(identity) }),
    ...(name === undefined ? {} : { name: name.toLowerCase() }),
    ...(serial === undefined ? {} : { serialPrefix: serial }),
    ...(key === undefined ? {} : { spkiSha256: key }),
    ...(profile === undefined ? {} : { profile }),
    ...(door === undefined ? {} : { door }),
    ...(issuer === undefined ? {} : { issuerId: issuer as EntityId<'authority'> }),
  };
}

/** The identity of a service by its name. @throws input-invalid beside an identity */
export function identityOfService(
  trustDomain: TrustDomain,
  environment: string,
  { service, identity }: { readonly service?: string; readonly identity?: string },
): Partial<CertificateSelection> {
  if (service === undefined) return {};
  if (identity !== undefined) throw new Problem('input-invalid', 'Cannot find certificates: service and identity, expected one of them');
  return { spiffeId: serviceSpiffeId(trustDomain, environment, service) };
}
