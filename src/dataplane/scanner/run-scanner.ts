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

/** The prober: takes drill jobs off its stream, fires some of them beside each other, and reports what it saw as telemetry. */
export async function runScanner({ state, control, clock, log, policy }: ScannerOptions): Promise<AsyncDisposable> {
  const begun = new Set<string>();
  const runJob = async (job: DrillJob): Promise<void> => {
    if (job.deadlineMs !== 0n && BigInt(clock.now()) > job.deadlineMs) return;
    log('info', 'drill job begins', { jobId: job.jobId, endpoint: job.endpointName, kinds: job.kinds.length });
    await runDrillJob({
      job,
      address: readAddress(job, policy),
      credentials: createCredentialShop({ link, jobId: job.jobId }),
      clock,
      onResult: (result) => link.report({ drills: [result], windowStartMs: result.atMs, windowEndMs: result.atMs }),
    });
  };
  const waiting: DrillJob[] = [];
  let running = 0;
  const startJobs = async (): Promise<void> => {
    if (running >= JOBS_AT_ONCE) return;
    running += 1;
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      const { jobId } = job;
      await runJob(job).catch((error: Error) => log('error', 'drill job failed', { jobId, error: error.message }));
    }
    running -= 1;
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
          waiting.push(job);
          void startJobs();
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

/** A job mostly waits: for certificates, for a revocation to arrive. More would be a load on those who serve. */
const JOBS_AT_ONCE = 4;
const MAXIMUM_REMEMBERED = 4_096;
