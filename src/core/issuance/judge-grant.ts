import { parseDnsPattern } from '../identity/dns-name.ts';
import type { Grant } from './grant.ts';
import type { IssuanceOrder, IssuanceReason } from './issuance-order.ts';
import type { ProfileName } from './profile.ts';

/** Every bound of the grant that the order breaks; its lifetime is bounded where the validity is chosen. */
export function judgeGrant(grant: Grant, profile: ProfileName, order: Omit<IssuanceOrder, 'asker' | 'key'>): readonly IssuanceReason[] {
  const reasons: IssuanceReason[] = [];
  const refuse = (message: string): void => void reasons.push({ rule: 'grant', message });
  if (!grant.doors.includes(order.door)) refuse(`the credential is not for the door ${order.door}`);
  if (!grant.profiles.includes(profile)) refuse(`the credential is not for profile ${profile}`);
  if (grant.environment !== order.environment) refuse(`the credential is not for environment ${order.environment}`);
  if (order.spiffeId !== null && order.spiffeId !== grant.spiffeId) refuse('the credential is not for this SPIFFE ID');
  const foreign = [
    ...order.dnsNames.filter((name) => !grant.dnsNames.includes(spell(name))),
    ...order.ipAddresses.filter((address) => !grant.ipAddresses.includes(address)),
  ];
  for (const name of foreign.slice(0, MAXIMUM_TOLD)) refuse(`the credential is not for ${JSON.stringify(name.slice(0, 300))}`);
  return reasons;
}

/** A name that cannot be read is judged, and refused, as it stands. */
function spell(name: string): string {
  try {
    return parseDnsPattern(name);
  } catch {
    return name;
  }
}

const MAXIMUM_TOLD = 10;
