import type { ClaimName } from './claims.ts';
import type { Plane } from './plane.ts';
import type { StepName } from './step-name.ts';

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
  /** What is cut out. */
  readonly cuts: string;
  /** The claim that must fail. */
  readonly claim: ClaimName;
  /** What the short form runs: no more than that claim needs. */
  readonly steps: readonly StepName[];
  /** Which passages of the product are changed, and how: `find` stands in its file exactly once. */
  readonly mutations: readonly Mutation[];
  /** The same safety where Envoys carry the traffic; absent: it is the same passage. */
  readonly envoyMutations?: readonly Mutation[];
  /** Where Envoy itself holds it, by a flag that it is started with. */
  readonly envoyDrain?: readonly string[];
};

type Mutation = { readonly file: string; readonly find: string; readonly replace: string };

const toProxies: readonly StepName[] = ['control-plane', 'discover', 'declare', 'proxies'];
const toWaves: readonly StepName[] = [...toProxies, 'waves'];

export const sabotages: readonly Sabotage[] = [
  {
    name: 'no-revocation-push',
    cuts: 'proxies are not told of a suspension',
    claim: 'revocation-in-time',
    steps: [...toWaves, 'suspend'],
    mutations: [
      {
        file: 'src/control/ca/suspend-identity.ts',
        find: lines(
          "    recordEntry(unit, { type: 'identity.suspended', at: now, environment, region, actor, data: { spiffeId, reason } });",
          "    return advanceSequence(unit.queries, 'revoked-set');",
          '  });',
          '  deps.changed.notify();',
        ),
        replace: lines(
          "    recordEntry(unit, { type: 'identity.suspended', at: now, environment, region, actor, data: { spiffeId, reason } });",
          "    return advanceSequence(unit.queries, 'revoked-set');",
          '  });',
        ),
      },
    ],
  },
  {
    name: 'no-drain',
    cuts: 'connections of a weaker mode live on after enforcement',
    claim: 'impostor-refused',
    steps: toWaves,
    mutations: [
      {
        file: 'src/dataplane/tls/receiver-connection.ts',
        find: lines(
          "    this.#state = 'draining';",
          '    this.#announceEnd();',
          '    this.#graceUntil = performance.now() + withinMs;',
          '    this.#cutAfter(withinMs);',
        ),
        replace: '    this.#graceUntil = withinMs + Number.POSITIVE_INFINITY;\n',
      },
    ],
    // Envoy drains by itself, for ten minutes unless it was told otherwise.
    envoyMutations: [],
    envoyDrain: ['--drain-time-s', '600', '--drain-strategy', 'gradual'],
  },
  {
    name: 'no-rollback',
    cuts: 'a wave whose callers fail is held where it is',
    claim: 'rollback-in-time',
    steps: toWaves,
    mutations: [
      {
        file: 'src/core/rollout/judge-wave.ts',
        find: "if (failures.length > 0) return { verdict: 'roll-back', reasons: failures };",
        replace: "if (failures.length > 0) return { verdict: 'hold', reasons: failures };",
      },
    ],
  },
  {
    name: 'drop-audit-entry',
    cuts: 'issued certificates are not written to the log',
    claim: 'log-complete',
    steps: [...toProxies, 'log'],
    mutations: [
      {
        file: 'src/control/ca/reserve-certificate.ts',
        find: '  recordEntry(unit, { type, at: now, environment, region, actor, data });',
        replace: "  if (type === 'certificate.refused') recordEntry(unit, { type, at: now, environment, region, actor, data });",
      },
    ],
  },
  {
    name: 'accept-any-client',
    cuts: 'a client certificate is enough, whoever signed it',
    claim: 'drills-refused',
    steps: toWaves,
    mutations: [
      {
        file: 'src/dataplane/tls/judge-connection.ts',
        find: lines('  if (offence !== null) return offence;', "  if (identity === null) return 'no-certificate';"),
        replace: lines(
          "  if (offence === 'plaintext' || offence === 'no-certificate' || offence === 'tls-version') return offence;",
          '  if (identity === null) return null;',
        ),
      },
    ],
    envoyMutations: [
      {
        file: 'src/core/envoy/trust-secret.ts',
        find: lines('    ...anchorsOf(input, rules.callers),', '    matchTypedSubjectAltNames: matchers,'),
        replace: lines(
          '    ...anchorsOf(input, rules.callers),',
          '    trustChainVerification: CertificateValidationContext_TrustChainVerification.ACCEPT_UNTRUSTED,',
        ),
      },
    ],
  },
  {
    name: 'stale-served-certificate',
    cuts: 'a proxy takes a renewed certificate and serves the old one on',
    claim: 'rotation-served',
    steps: [...toWaves, 'rotate'],
    mutations: [
      {
        file: 'src/dataplane/tls/plane.ts',
        find: lines('      this.#live.contexts = contexts;'),
        replace: '',
      },
    ],
    envoyMutations: [
      {
        file: 'src/dataplane/envoy/identity-keeper.ts',
        find: lines('    const before = this.#credential;', '    this.#credential = openCredential(identity);'),
        replace: lines('    const before = this.#credential;', '    openCredential(identity);'),
      },
      {
        file: 'src/dataplane/envoy/identity-keeper.ts',
        find: lines('      await Promise.race([untilServed(settled.signal), refused]);'),
        replace: lines('      await Promise.race([Promise.resolve(untilServed), refused]);'),
      },
    ],
  },
];

/** What is cut out of the product for a fleet of this plane. */
export function mutationsOf({ mutations, envoyMutations = mutations }: Sabotage, plane: Plane): readonly Mutation[] {
  if (plane === 'native') return mutations;
  return plane === 'envoy' ? envoyMutations : [...new Set([...mutations, ...envoyMutations])];
}

/** The steps of the short form: those of the sabotage, or, for a run in which every claim of a sabotage has to hold, all of theirs. */
export function shortStepsOf(sabotage: Sabotage | null): ReadonlySet<StepName> {
  return new Set(sabotage === null ? sabotages.flatMap(({ steps }) => steps) : sabotage.steps);
}

export function findSabotage(name: SabotageName): Sabotage {
  return sabotages.find((sabotage) => sabotage.name === name)!;
}

function lines(...text: readonly string[]): string {
  return `${text.join('\n')}\n`;
}
