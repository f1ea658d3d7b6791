import type { Run } from './run.ts';
import type { StepName } from './step-name.ts';
import { compareTelemetry } from './steps/compare-telemetry.ts';
import { declareAcme } from './steps/declare-acme.ts';
import { discoverFleet } from './steps/discover-fleet.ts';
import { listSockets } from './steps/list-sockets.ts';
import { measureBefore } from './steps/measure-before.ts';
import { putInProxies } from './steps/put-in-proxies.ts';
import { restartControlPlane } from './steps/restart-control-plane.ts';
import { rotateCertificates } from './steps/rotate-certificates.ts';
import { runDrills } from './steps/run-drills.ts';
import { runWaves } from './steps/run-waves.ts';
import { startControlPlane } from './steps/start-control-plane.ts';
import { suspendIdentity } from './steps/suspend-identity.ts';
import { verifyLog } from './steps/verify-log.ts';

export type Step = { readonly name: StepName; readonly title: string; readonly take: (run: Run) => Promise<void> };

/** What a run does after the fleet is up, in this order. A step that throws ends the steps; the claims are judged all the same. */
export const steps: readonly Step[] = [
  { name: 'measure-before', title: 'Traffic is measured as it is', take: measureBefore },
  { name: 'control-plane', title: 'The control plane starts; its bootstrap token is exchanged', take: startControlPlane },
  { name: 'discover', title: 'The fleet is discovered by real handshakes', take: discoverFleet },
  { name: 'declare', title: 'Services, endpoints, proxies and the target are declared', take: declareAcme },
  { name: 'proxies', title: 'Sidecars take over, replica by replica, while traffic flows', take: putInProxies },
  { name: 'waves', title: 'The rollout goes through its waves to proven mutual TLS', take: runWaves },
  { name: 'restart', title: 'The control plane restarts under load', take: restartControlPlane },
  { name: 'rotate', title: 'Every certificate is rotated under load', take: rotateCertificates },
  { name: 'telemetry', title: 'Telemetry is held against what the observer saw', take: compareTelemetry },
  { name: 'suspend', title: 'One identity is suspended while its stolen key is in use', take: suspendIdentity },
  { name: 'drills', title: 'Bad handshakes are fired at every endpoint', take: runDrills },
  { name: 'sockets', title: 'Every listening socket is asked in plaintext', take: listSockets },
  { name: 'log', title: 'The log is exported and verified', take: verifyLog },
];
