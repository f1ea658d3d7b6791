/** Safeties of the product that a run can switch off, by changing a copy of its source. The product itself knows no such switch. */
import type { ClaimName } from './claims.ts';
import type { StepName } from './step-name.ts';

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
  /** What the short form runs: no more than that claim needs. */
  readonly steps: readonly StepName[];
  /** Which source files of the product are changed, and how: `find` stands in its file exactly once. */
  readonly mutations: readonly { readonly file: string; readonly find: string; readonly replace: string }[];
};

const toProxies: readonly StepName[] = ['measure-before', 'control-plane', 'discover', 'declare', 'proxies'];
const toWaves: readonly StepName[] = [...toProxies, 'waves'];

export const sabotages: readonly Sabotage[] = [
  { name: 'no-revocation-push', claim: 'revocation-in-time', steps: [...toWaves, 'suspend'], mutations: [] },
  { name: 'no-drain', claim: 'tap-silent-after-drain', steps: toWaves, mutations: [] },
  { name: 'no-rollback', claim: 'rollback-in-time', steps: toWaves, mutations: [] },
  { name: 'drop-audit-entry', claim: 'log-complete', steps: [...toProxies, 'log'], mutations: [] },
  { name: 'accept-any-client', claim: 'drills-refused', steps: [...toWaves, 'drills'], mutations: [] },
  { name: 'stale-served-certificate', claim: 'rotation-served', steps: [...toWaves, 'rotate'], mutations: [] },
];

export function findSabotage(name: SabotageName): Sabotage {
  return sabotages.find((sabotage) => sabotage.name === name)!;
}
