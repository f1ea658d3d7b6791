import { findProfile } from '../../control/ca/prepare-certificate.ts';
import type { Authorities } from '../../control/ca/authorities.ts';
import type { Profile, ProfileName } from '../../core/issuance/profile.ts';
import { DAY_MS, HOUR_MS } from '../../core/time/instant.ts';
import { AcmeProblem, malformed } from './problems.ts';

/** The names of the product's own profiles as orders have them (draft-aaron-acme-profiles-01), each with the house's name. */
const ownNames: { readonly [name: string]: ProfileName } = { server: 'server', shortlived: 'server-shortlived' };
/** What an order that names none gets. */
const USUAL = 'server';

/** The profile of an order; null: the order named none. @throws malformed, invalidProfile if it is not open by this door */
export function parseProfile(value: unknown, place: { readonly authorities: Authorities; readonly environment: string }): string | null {
  if (value !== undefined && typeof value !== 'string') throw malformed('profile is no text');
  const name = value ?? USUAL;
  if (!profilesOf(place).has(name)) {
    throw new AcmeProblem('invalidProfile', `Cannot order: profile ${JSON.stringify(name.slice(0, 60))} is not one of the directory`);
  }
  return value ?? null;
}

/** What the house calls the profile of an order. */
export function profileOfOrder(name: string | null): ProfileName {
  return houseName(name ?? USUAL);
}

/** The profiles that can be ordered in an environment, each with its sentence for people: the product's and those declared for this door. */
export function profilesOf({
  authorities,
  environment,
}: {
  readonly authorities: Authorities;
  readonly environment: string;
}): ReadonlyMap<string, string> {
  const declared = (authorities.profiles?.listDeclared(environment) ?? []).map(({ name }): string => name);
  const names = new Set([...Object.keys(ownNames), ...declared.filter((name) => !Object.values(ownNames).includes(name as ProfileName))]);
  const found = [...names].map((name) => [name, findProfile(authorities, environment, houseName(name))] as const);
  return new Map(found.flatMap(([name, profile]) => (profile?.askers.acme === undefined ? [] : [[name, meaningOf(profile)] as const])));
}

function houseName(name: string): ProfileName {
  return Object.hasOwn(ownNames, name) ? ownNames[name]! : (name as ProfileName);
}

function meaningOf({ lifetimeMs: { usual }, revocation }: Profile): string {
  const life = usual % DAY_MS === 0 ? `${usual / DAY_MS} days` : `${Math.floor(usual / HOUR_MS)} hours`;
  const end = revocation === 'not-available' ? ', too short-lived to be revoked, for clients that renew by themselves' : '';
  return `A server certificate of ${life}${end}`;
}
