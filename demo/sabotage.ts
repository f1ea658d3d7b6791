/** Safeties of the product that a run can switch off, by changing a copy of its source. The product itself knows no such switch. */
import type { ClaimName } from './claims.ts';

export type SabotageName =
  | 'no-revocation-push'
  | 'no-drain'
  | 'no-rollback'
  | 'drop-audit-entry'
  | 'accept-any-client'
  | 'stale-served-certificate';

export type Sabotage = {
  readonly name: SabotageName;
  /** The claim that must fail. */
  readonly claim: ClaimName;
  /** Which source files of the product are changed, and how: `find` stands in its file exactly once. */
  readonly mutations: readonly { readonly file: string; readonly find: string; readonly replace: string }[];
};

export const sabotages: readonly Sabotage[] = [
  { name: 'no-revocation-push', claim: 'revocation-in-time', mutations: [] },
  { name: 'no-drain', claim: 'tap-silent-after-drain', mutations: [] },
  { name: 'no-rollback', claim: 'rollback-in-time', mutations: [] },
  { name: 'drop-audit-entry', claim: 'log-complete', mutations: [] },
  { name: 'accept-any-client', claim: 'drills-refused', mutations: [] },
  { name: 'stale-served-certificate', claim: 'rotation-served', mutations: [] },
];
