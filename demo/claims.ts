import type { RunFacts } from './facts.ts';
import type { StepName } from './step-name.ts';

/** What the demo claims. `judge` answers null if it holds, else why it does not; `unmeasured` if no step came so far. */
export type Claim = {
  readonly name: ClaimName;
  readonly sentence: string;
  /** The step without which it cannot be judged; null: every run shows it. */
  readonly step: StepName | null;
  readonly judge: (facts: RunFacts) => string | null;
};

export type ClaimName =
  | 'fleet-discovered'
  | 'traffic-steady'
  | 'no-call-failed'
  | 'undeclared-caller-held'
  | 'rollback-in-time'
  | 'coverage-complete'
  | 'calls-covered'
  | 'drills-refused'
  | 'rotation-served'
  | 'revocation-in-time'
  | 'revoked-identity-shut-out'
  | 'impostor-refused'
  | 'identity-headers-stripped'
  | 'tap-silent-after-drain'
  | 'sockets-refuse-plaintext'
  | 'telemetry-agrees'
  | 'log-complete'
  | 'checkpoints-consistent'
  | 'in-time';

export type Judged = { readonly claim: Claim; readonly problem: string | null };

/** Judges every claim; one whose facts were never measured fails by that. */
export function judgeClaims(facts: RunFacts, names?: readonly ClaimName[]): readonly Judged[] {
  return claims.filter(({ name }) => names?.includes(name) ?? true).map((claim) => ({ claim, problem: claim.judge(facts) }));
}

export const UNMEASURED = 'not measured';
const LEAST_CALLS_PER_SECOND = 200;
const LEAST_CALLS_PER_SECOND_AND_PATH = 5;
const LONGEST_ROLLBACK_SECONDS = 5;
const LONGEST_REVOCATION_SECONDS = 2;
const LONGEST_RUN_SECONDS = 90;
/** Telemetry and observer see a call at its edges of a window a few milliseconds apart. */
const LARGEST_TELEMETRY_DIFFERENCE = 0.02;

/** One table: the names stand in the final table, in the JSON and in sabotage.ts. */
export const claims: readonly Claim[] = [
  {
    name: 'fleet-discovered',
    step: 'discover',
    sentence: 'discovery by real handshakes finds every endpoint',
    judge: ({ discovered }) =>
      measured(discovered, (found) => (found.found === found.expected ? null : `${found.found} of ${found.expected} endpoints found`)),
  },
  {
    name: 'traffic-steady',
    step: null,
    sentence: `at least ${LEAST_CALLS_PER_SECOND} calls a second in all and ${LEAST_CALLS_PER_SECOND_AND_PATH} on each path, no silent second`,
    judge: ({ steadiness }) =>
      measured(steadiness, ({ callsPerSecond, fewestPerSecond, paths }) => {
        if (callsPerSecond < LEAST_CALLS_PER_SECOND) return `${callsPerSecond.toFixed(1)} calls a second`;
        if (fewestPerSecond === 0) return 'a second without any call';
        const poor = paths.find((path) => path.callsPerSecond < LEAST_CALLS_PER_SECOND_AND_PATH || path.fewestPerSecond === 0);
        return poor === undefined
          ? null
          : `${poor.caller} → ${poor.endpoint}: ${poor.callsPerSecond.toFixed(1)} a second, ${poor.fewestPerSecond} in the poorest`;
      }),
  },
  {
    name: 'no-call-failed',
    step: null,
    sentence: 'no call fails by waves, rotation, proxies put in, or a restart of the control plane',
    judge: ({ calls }) =>
      measured(calls, ({ failed, failures }) =>
        failed === 0
          ? null
          : `${failed} calls failed: ${failures.map((group) => `${group.count} ${group.caller} → ${group.endpoint} ${group.outcome}`).join(', ')}`,
      ),
  },
  {
    name: 'undeclared-caller-held',
    step: 'waves',
    sentence: 'a caller that enforcement would refuse is named by the plan and holds the gate, and no call of it fails',
    judge: ({ undeclared }) =>
      measured(undeclared, ({ namedByPlan, failedCalls }) => {
        if (!namedByPlan) return 'the plan did not name it';
        return failedCalls === 0 ? null : `${failedCalls} of its calls failed`;
      }),
  },
  {
    name: 'rollback-in-time',
    step: 'waves',
    sentence: `a wave whose caller lacks the root rolls itself back within ${LONGEST_ROLLBACK_SECONDS} s of the first failure`,
    judge: ({ rollbacks }) => {
      if (rollbacks.length === 0) return 'no rollback';
      const late = rollbacks.find(({ secondsToRestore }) => !(secondsToRestore < LONGEST_ROLLBACK_SECONDS));
      return late === undefined ? null : `${late.path} was restored after ${late.secondsToRestore.toFixed(1)} s`;
    },
  },
  {
    name: 'coverage-complete',
    step: 'waves',
    sentence: 'every path is proven mutual TLS or an exception with owner and end date',
    judge: ({ paths, exceptions }) =>
      measured(paths, ({ proven, excepted, total }) => {
        if (proven + excepted !== total) return `${proven} proven and ${excepted} excepted of ${total} paths`;
        const open = exceptions.find(({ owner, until }) => owner === '' || Number.isNaN(Date.parse(until)));
        return open === undefined ? null : `${open.path} has no owner or no end date`;
      }),
  },
  {
    name: 'calls-covered',
    step: 'waves',
    sentence: 'after the waves the tap can read no call, and origins are told the proved caller of each that is no exception',
    judge: ({ channelsAfter, coverage }) =>
      measured(channelsAfter, ({ readable, received }) => {
        if (received === 0) return 'no call was received';
        if (readable > 0) return `${readable} of ${received} calls were readable`;
        return coverage.after === null ? UNMEASURED : null;
      }),
  },
  {
    name: 'drills-refused',
    step: 'waves',
    sentence: 'every drill is refused, and the good handshake of each endpoint passes',
    judge: ({ drills }) =>
      measured(drills, ({ fired, refused, passed, endpoints }) => {
        if (fired === 0) return 'no drill was fired';
        if (refused !== fired) return `${refused} of ${fired} drills were refused`;
        return passed === endpoints ? null : `the good handshake passed at ${passed} of ${endpoints} endpoints`;
      }),
  },
  {
    name: 'rotation-served',
    step: 'rotate',
    sentence: 'every certificate is rotated and the new one is served, without a failed call',
    judge: ({ rotation }) =>
      measured(rotation, ({ certificates, failed }) => {
        if (certificates === 0) return 'no certificate was rotated';
        return failed === 0 ? null : `${failed} of ${certificates} new certificates are not served`;
      }),
  },
  {
    name: 'revocation-in-time',
    step: 'suspend',
    sentence: `a suspended identity's last call arrives within ${LONGEST_REVOCATION_SECONDS} s, over open, resumed and new connections`,
    judge: ({ revocation }) =>
      measured(revocation, ({ secondsToLastAcceptedCall, acceptedBefore }) => {
        const idle = Object.entries(acceptedBefore).find(([, count]) => count === 0);
        if (idle !== undefined) return `the stolen key got nothing on its ${idle[0]} connection before`;
        return secondsToLastAcceptedCall < LONGEST_REVOCATION_SECONDS ? null : `${secondsToLastAcceptedCall.toFixed(2)} s`;
      }),
  },
  {
    name: 'revoked-identity-shut-out',
    step: 'suspend',
    sentence: 'a suspended identity is refused its renewal, its join and its stream',
    judge: ({ revocation }) =>
      measured(revocation, ({ renewalRefused, joinRefused, streamRefused }) => {
        const open = Object.entries({ renewal: renewalRefused, join: joinRefused, stream: streamRefused }).filter(
          ([, refused]) => !refused,
        );
        return open.length === 0 ? null : `not refused: ${open.map(([name]) => name).join(', ')}`;
      }),
  },
  {
    name: 'impostor-refused',
    step: 'waves',
    sentence: 'the impostor succeeds before, and never after enforcement',
    judge: ({ impersonation }) =>
      measured(impersonation, ({ attempts, succeededBefore, succeededAfter }) => {
        if (attempts === 0 || succeededBefore === 0) return 'the impostor never got anything, so nothing is shown';
        return succeededAfter === 0 ? null : `${succeededAfter} attempts succeeded after enforcement`;
      }),
  },
  {
    name: 'identity-headers-stripped',
    step: 'proxies',
    sentence: 'no forged identity header ever reaches an origin through a sidecar, in any mode',
    judge: ({ forgedIdentities }) => measured(forgedIdentities, (count) => (count === 0 ? null : `${count} forged headers arrived`)),
  },
  {
    name: 'tap-silent-after-drain',
    step: 'waves',
    sentence: "the run's marker is readable on the wire before, and never after an endpoint's drain",
    judge: ({ tap }) =>
      measured(tap, ({ markersBefore, markersAfter }) => {
        if (markersBefore === 0) return 'the tap found no marker before, so nothing is shown';
        return markersAfter === 0 ? null : `${markersAfter} markers were readable after the drain`;
      }),
  },
  {
    name: 'sockets-refuse-plaintext',
    step: 'sockets',
    sentence: 'every listening TCP socket of the fleet refuses plaintext or is a named exception with owner and end date',
    judge: ({ sockets }) =>
      measured(sockets, (all) => {
        const open = all.filter(({ plaintext, exception }) => plaintext === 'answered' && exception === null);
        return open.length === 0 ? null : open.map(({ port, processes }) => `${port} (${processes.join(', ')}) answers`).join(', ');
      }),
  },
  {
    name: 'telemetry-agrees',
    step: 'telemetry',
    sentence: "Countersign's telemetry agrees with what the observer saw",
    judge: ({ telemetry }) =>
      measured(telemetry, ({ observed, counted }) => {
        if (observed === 0) return 'the observer saw nothing';
        return Math.abs(observed - counted) <= observed * LARGEST_TELEMETRY_DIFFERENCE
          ? null
          : `observer ${observed}, telemetry ${counted}`;
      }),
  },
  {
    name: 'log-complete',
    step: 'log',
    sentence: 'the exported log verifies offline, and every certificate seen in use stands in it',
    judge: ({ audit }) =>
      measured(audit, ({ verified, missing }) => {
        if (!verified) return 'the log does not verify';
        return missing.length === 0 ? null : `not in the log: ${missing.join(', ')}`;
      }),
  },
  {
    name: 'checkpoints-consistent',
    step: 'log',
    sentence: 'every checkpoint that the observer kept is consistent with the last one',
    judge: ({ checkpoints }) =>
      measured(checkpoints, ({ kept, problem }) => {
        if (kept < 2) return `${kept} checkpoints were kept`;
        return problem;
      }),
  },
  {
    name: 'in-time',
    step: null,
    sentence: `the whole run takes less than ${LONGEST_RUN_SECONDS} s`,
    judge: ({ seconds }) => (seconds < LONGEST_RUN_SECONDS ? null : `${seconds.toFixed(0)} s`),
  },
];

function measured<T>(value: T | null, judge: (value: T) => string | null): string | null {
  return value === null ? UNMEASURED : judge(value);
}
