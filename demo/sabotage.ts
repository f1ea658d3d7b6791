/** Safeties of the product that a run can switch off, by changing a copy of its source. The product itself knows no such switch. */

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
  readonly claim: string;
  /** Which source file of the product is changed, and how: `find` stands in it exactly once. Null until that file exists. */
  readonly mutation: { readonly file: string; readonly find: string; readonly replace: string } | null;
};

export const sabotages: readonly Sabotage[] = [
  { name: 'no-revocation-push', claim: 'revocation-in-time', mutation: null },
  { name: 'no-drain', claim: 'tap-silent-after-drain', mutation: null },
  { name: 'no-rollback', claim: 'rollback-in-time', mutation: null },
  { name: 'drop-audit-entry', claim: 'log-complete', mutation: null },
  { name: 'accept-any-client', claim: 'drills-refused', mutation: null },
  { name: 'stale-served-certificate', claim: 'rotation-served', mutation: null },
];
