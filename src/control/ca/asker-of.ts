import { judgeGrant } from '../../core/issuance/judge-grant.ts';
import type { Asker, IssuanceOrder } from '../../core/issuance/issuance-order.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import type { RuleGrant } from '../../core/oidc/identity-provider.ts';
import type { Instant } from '../../core/time/instant.ts';
import { claimMachineToken, type Machine } from '../access/machine-tokens.ts';
import type { Principal } from '../access/principal.ts';
import type { Role } from '../access/role.ts';
import type { IssuanceRequest } from './issuance-request.ts';

/** What is asked for, as far as a grant bounds it. */
export type Wanted = Pick<IssuanceOrder, 'door' | 'environment' | 'spiffeId' | 'dnsNames' | 'ipAddresses'> & {
  readonly profile: ProfileName;
};

export function askerOf({ name, role, scope }: Principal): Asker {
  return { role: askerRoleOf(role), scope, spiffeId: null, name };
}

/** A role that issuance does not know may ask for nothing more than a pipeline may; the route's own role let it no further. */
export function askerRoleOf(role: Role): 'admin' | 'operator' | 'ci' {
  return role === 'admin' || role === 'operator' ? role : 'ci';
}

/** Who asks, with the grant of a token of another issuer, which is used up by what it buys. */
export function grantedAsker(
  principal: Principal,
  wanted: Wanted,
  csrSpkiSha256: string,
  now: Instant,
): { readonly asker: Asker } & Pick<IssuanceRequest, 'claim' | 'note'> {
  const { machine } = principal;
  if (machine === undefined) return { asker: askerOf(principal) };
  const grant = chooseGrant(machine, wanted);
  return {
    asker: { ...askerOf(principal), grant },
    claim: (unit) => claimMachineToken(unit, { machine, grant, csrSpkiSha256, maximumUses: 1 }, now),
    note: { grant: grant.source, tokenDigest: machine.digest },
  };
}

/** The first grant that covers all that is asked; without one the first, whose bounds then are the reasons of the refusal. */
function chooseGrant({ grants }: Machine, { profile, ...wanted }: Wanted): RuleGrant {
  const order = { ...wanted, authorityName: null };
  return grants.find((grant) => judgeGrant(grant, profile, order).length === 0) ?? grants[0]!;
}
