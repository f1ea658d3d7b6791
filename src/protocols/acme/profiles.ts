import type { ProfileName } from '../../core/issuance/profile.ts';
import { AcmeProblem, malformed } from './problems.ts';

/** The profiles that an order may name (draft-aaron-acme-profiles-01), with what each means to people and which of the house's it is. */
export const acmeProfiles = {
  server: { profile: 'server', meaning: 'A server certificate of 90 days; the one that is given when an order names none' },
  shortlived: { profile: 'server-shortlived', meaning: 'A server certificate of 6 days, for clients that renew by themselves' },
} as const satisfies Record<string, { readonly profile: ProfileName; readonly meaning: string }>;
export type AcmeProfileName = keyof typeof acmeProfiles;

/** Null: the order names none. @throws malformed, invalidProfile */
export function parseProfile(value: unknown): AcmeProfileName | null {
  if (value === undefined) return null;
  if (typeof value !== 'string') throw malformed('profile is no text');
  if (Object.hasOwn(acmeProfiles, value)) return value as AcmeProfileName;
  throw new AcmeProblem('invalidProfile', `Cannot order: profile ${JSON.stringify(value.slice(0, 60))} is not one of the directory`);
}
