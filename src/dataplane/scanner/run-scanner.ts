import type { DrillJob } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { StateDirectory } from '../../platform/keystore/state-directory.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { AddressPolicy } from '../../platform/network/address-policy.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import { ACCEPTED, type Acknowledgement } from '../link/link-handlers.ts';
import { type Link, openLink } from '../link/open-link.ts';
import { createCredentialShop } from './credential-shop.ts';
import { runDrillJob } from './run-drill-job.ts';

export type ScannerOptions = {
  readonly state: StateDirectory;
  readonly control: HostPort;
  readonly clock: Clock;
  readonly log: Log;
  /** Addresses that a job may point at. */
  readonly policy: AddressPolicy;
};

/** The prober: takes drill jobs off its stream, fires them one job after the other, and reports what it saw as telemetry. */
export async function runScanner({ state, control, clock, log, policy }: ScannerOptions): Promise<AsyncDisposable> {
  const begun = new Set<string>();
  let queue: Promise<void> = Promise.resolve();
  const startJob = (job: DrillJob): void => {
    queue = queue
      .then(async () => {
        if (job.deadlineMs !== 0n && BigInt(clock.now()) > job.deadlineMs) return;
        log('info', 'drill job begins', { jobId: job.jobId, endpoint: job.endpointName, kinds: job.kinds.length });
        const address = readAddress(job, policy);
        const credentials = createCredentialShop({ link, jobId: job.jobId });
        await runDrillJob({
          job,
          address,
          credentials,
          clock,
          onResult: (result) => link.report({ drills: [result], windowStartMs: result.atMs, windowEndMs: result.atMs }),
        });
      })
      .catch((error: Error) => log('error', 'drill job failed', { jobId: job.jobId, error: error.message }));
  };
  const link: Link = await openLink({
    state,
    control,
    clock,
    log,
    handlers: {
      onTrustBundle: async () => ACCEPTED,
      onRevokedSet: async () => ACCEPTED,
      onSettings: async () => ACCEPTED,
      onIdentity: async () => undefined,
      onDrillJob: async (job): Promise<Acknowledgement> => {
        try {
          readAddress(job, policy);
        } catch (error) {
          return { kind: 'refused', reason: (error as Error).message };
        }
        if (!begun.has(job.jobId)) {
          remember(begun, job.jobId);
          startJob(job);
        }
        return ACCEPTED;
      },
    },
  });
  return link;
}

/** @throws input-invalid when the job points outside of the permitted ranges, or at no TCP address */
function readAddress(job: DrillJob, policy: AddressPolicy): HostPort {
  const address = job.address?.address;
  if (address?.case !== 'internet') throw new Problem('input-invalid', `Cannot run drill job ${job.jobId}: no TCP address`);
  if (!policy.permits(address.value.ip))
    throw new Problem('input-invalid', `Cannot run drill job ${job.jobId}: ${address.value.ip} is outside of the permitted ranges`);
  return { host: address.value.ip, port: address.value.port };
}

/** Jobs come again after a reconnect; the last few thousand are known. */
function remember(begun: Set<string>, jobId: string): void {
  begun.add(jobId);
  if (begun.size > MAXIMUM_REMEMBERED) begun.delete(begun.values().next().value!);
}

const MAXIMUM_REMEMBERED = 4_096;
