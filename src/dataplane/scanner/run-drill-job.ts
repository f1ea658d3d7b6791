import { create } from '@bufbuild/protobuf';
import { type DrillKind, drillReasons, type DrillRunKind, POSITIVE_DRILL } from '../../core/findings/drill-kind.ts';
import { type DrillJob, Protocol } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { type DrillResult, DrillResultSchema } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import type { Clock } from '../../platform/clock/clock.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import { type Credential, type DrillSight, fireDrill } from './fire-drill.ts';

/** Where a drill's credentials come from; `null` is the drill that shows none. */
export type CredentialSource = {
  credentialFor(kind: DrillRunKind): Promise<Credential | null>;
  revoke(credential: Credential): Promise<void>;
};

export type DrillJobOptions = {
  readonly job: DrillJob;
  readonly address: HostPort;
  readonly credentials: CredentialSource;
  readonly clock: Clock;
  readonly onResult: (result: DrillResult) => void;
};

/** Fires every drill of a job, one connection after the other, and hands on what each one saw. Unknown kinds are left to newer probers. */
export async function runDrillJob(options: DrillJobOptions): Promise<void> {
  for (const kind of options.job.kinds) {
    if (!isDrillRunKind(kind)) continue;
    const { sight, credential, at, offeredSession } = await runOne(kind, options).catch((error: Error) => ({
      sight: failedSight(error),
      credential: null,
      at: options.clock.now(),
      offeredSession: false,
    }));
    options.onResult(
      create(DrillResultSchema, {
        jobId: options.job.jobId,
        endpointId: options.job.endpointId,
        kind,
        atMs: BigInt(at),
        firstOctetsSha256: sight.firstOctetsSha256 ?? new Uint8Array(),
        octetsSent: BigInt(sight.octetsSent),
        octetsAnswered: BigInt(sight.octetsAnswered),
        seen: sight.seen,
        presentedSerial: credential?.serial ?? new Uint8Array(),
        servedSerial: sight.servedSerial ?? new Uint8Array(),
        resumed: sight.resumed,
        localAddress: sight.localAddress,
        offeredSession,
      }),
    );
  }
}

type Fired = { readonly sight: DrillSight; readonly credential: Credential | null; readonly at: number; readonly offeredSession: boolean };

async function runOne(kind: DrillRunKind, { job, address, credentials, clock }: DrillJobOptions): Promise<Fired> {
  const speech = job.protocol === Protocol.GRPC ? 'h2' : 'http/1.1';
  const credential = await credentials.credentialFor(kind);
  const fire = async (session?: Buffer): Promise<Fired> => ({
    sight: await fireDrill({
      kind,
      address,
      credential,
      speech,
      isStream: job.protocol === Protocol.TCP,
      timeoutMs: SHOT_TIMEOUT_MS,
      ...(session === undefined ? {} : { session }),
    }),
    credential,
    at: clock.now(),
    offeredSession: session !== undefined,
  });
  if (kind !== 'revoked' && kind !== 'revoked-then-resumed') return fire();
  if (credential === null) throw new Error('no credential');
  const before = kind === 'revoked-then-resumed' ? await openSession(async (session) => (await fire(session)).sight) : null;
  if (before !== null && (before.seen !== 'answered' || before.session === null))
    return { sight: { ...before, octetsAnswered: 0, seen: 'error:NO_SESSION' }, credential, at: clock.now(), offeredSession: false };
  await credentials.revoke(credential);
  return untilRefused(() => fire(before?.session ?? undefined));
}

/**
 * Two connections: the second takes the session of the first up. A proxy that gives no tickets worth anything where nobody ever resumes, as behind an address with many
 * callers, learns by it that here is somebody who does.
 */
async function openSession(fire: (session?: Buffer) => Promise<DrillSight>): Promise<DrillSight> {
  const first = await fire();
  if (first.session === null) return first;
  const second = await fire(first.session);
  // In TLS 1.2 a resumed session goes on with its ticket, and no other is sent.
  return { ...second, session: second.session ?? first.session };
}

/**
 * A revocation takes a moment to reach the proxy, so the shot is repeated until it is refused or the time is over;
 * what is reported is the last shot, so an endpoint that goes on answering is seen to answer.
 */
async function untilRefused(fire: () => Promise<Fired>): Promise<Fired> {
  const deadline = performance.now() + REVOCATION_WAIT_MS;
  for (;;) {
    const fired = await fire();
    if (fired.sight.octetsAnswered === 0 || performance.now() >= deadline) return fired;
    await new Promise((resolve) => setTimeout(resolve, REVOCATION_POLL_MS));
  }
}

function failedSight(error: Error): DrillSight {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : 'NO_CREDENTIAL';
  return {
    firstOctetsSha256: null,
    octetsSent: 0,
    localAddress: '',
    octetsAnswered: 0,
    statusLine: '',
    seen: `error:${code}`,
    servedSerial: null,
    resumed: false,
    session: null,
  };
}

function isDrillRunKind(kind: string): kind is DrillRunKind {
  return kind === POSITIVE_DRILL || Object.hasOwn(drillReasons, kind as DrillKind);
}

/** Longer than the proxy's own handshake limit would be waiting for the wrong side. */
const SHOT_TIMEOUT_MS = 5_000;
const REVOCATION_WAIT_MS = 5_000;
const REVOCATION_POLL_MS = 50;
