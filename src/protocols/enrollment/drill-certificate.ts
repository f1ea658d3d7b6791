import { create } from '@bufbuild/protobuf';
import { type CertificateRecord, findCertificate } from '../../control/ca/certificate-store.ts';
import type { Actor } from '../../control/audit/entry.ts';
import type { Revocation } from '../../control/ca/revoke-certificate.ts';
import { drillReasons, type DrillRunKind, POSITIVE_DRILL } from '../../core/findings/drill-kind.ts';
import { parseSpiffeId, type SpiffeId } from '../../core/identity/spiffe-id.ts';
import { type DrillFlaw, drillFlaws } from '../../core/issuance/profile.ts';
import {
  EnrollmentService,
  IssueDrillCertificateResponseSchema,
  RevokeDrillCertificateResponseSchema,
} from '../../core/messages/generated/countersign/v1/enrollment_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Node } from '../data-plane/peer.ts';
import { type UnaryMethod, unaryMethod } from '../data-plane/rpc-method.ts';
import { dataPlaneAsker } from './data-plane-asker.ts';
import type { EnrollmentDeps } from './enrollment-deps.ts';
import { readRequestFor } from './read-request.ts';

export type DrillDeps = Pick<EnrollmentDeps, 'issue' | 'queries' | 'clock'> & {
  /** The environment of an open drill job, or null if there is no such job. */
  readonly environmentOfJob: (jobId: string) => Promise<string | null>;
  /** `revokeCertificate` of control/ca. */
  readonly revoke: (revocation: Revocation, actor: Actor, now: Instant) => Promise<{ readonly revokedSequence: number }>;
  /** SHA-256 of the SubjectPublicKeyInfo of each authority that may have signed a drill's certificate, hex. */
  readonly issuerKeys: () => readonly string[];
};

/** Credentials that must be refused, for the probe alone, by the same door as every certificate; logged as drills. */
export function issueDrillMethod(deps: DrillDeps): UnaryMethod {
  const issuedByJob = new Map<string, number>();
  return unaryMethod(EnrollmentService.method.issueDrillCertificate, 'probe', async (request, { node }) => {
    const kind = readKind(request.kind);
    await checkJob(deps, node, request.jobId);
    countIssue(issuedByJob, request.jobId);
    const { environment, region } = node;
    const spiffeId = kind === 'wrong-identity' ? strangerBeside(node.spiffeId) : node.spiffeId;
    const issued = await deps.issue(
      {
        door: 'drill',
        profile: 'drill',
        ...dataPlaneAsker(node.spiffeId, environment, 'scanner'),
        csr: readRequestFor(spiffeId, request.csr),
        spiffeId,
        names: { dns: [], ip: [] },
        // No data plane holds it, so it opens no stream.
        proxyId: null,
        environment,
        region,
        ...(isFlaw(kind) ? { flaw: kind } : {}),
        note: { jobId: request.jobId, drillKind: kind },
      },
      deps.clock.now(),
    );
    return create(IssueDrillCertificateResponseSchema, { chain: [...issued.chain] });
  });
}

/** A prober that was taken over shall not fill the revoked set, which every proxy must hold whole. @throws rate-limited */
function countIssue(issuedByJob: Map<string, number>, jobId: string): void {
  const issued = (issuedByJob.get(jobId) ?? 0) + 1;
  if (issued > MAXIMUM_OF_A_JOB)
    throw new Problem('rate-limited', `Cannot serve drill: job ${jobId} had ${MAXIMUM_OF_A_JOB} certificates, expected no more`);
  issuedByJob.set(jobId, issued);
  if (issuedByJob.size > MAXIMUM_JOBS) issuedByJob.delete(issuedByJob.keys().next().value!);
}

/** Revokes what `issueDrillMethod` gave out, and nothing else: the probe takes down no service. */
export function revokeDrillMethod(deps: DrillDeps): UnaryMethod {
  return unaryMethod(EnrollmentService.method.revokeDrillCertificate, 'probe', async (request, { node }) => {
    await checkJob(deps, node, request.jobId);
    const certificate = await findDrillCertificate(deps, request.serial);
    if (certificate === null || certificate.environment !== node.environment) {
      throw new Problem('not-found', 'Cannot revoke drill certificate: no drill was given this serial');
    }
    const { issuerKeySha256, serial } = certificate;
    const actor: Actor = { kind: 'machine', name: node.spiffeId };
    const { revokedSequence } = await deps.revoke({ issuerKeySha256, serial, reason: 'unspecified' }, actor, deps.clock.now());
    return create(RevokeDrillCertificateResponseSchema, { revokedSequence: BigInt(revokedSequence) });
  });
}

async function findDrillCertificate({ queries, issuerKeys }: DrillDeps, serial: Uint8Array): Promise<CertificateRecord | null> {
  if (serial.length === 0 || serial.length > MAXIMUM_SERIAL) return null;
  for (const issuerKeySha256 of issuerKeys()) {
    const found = await findCertificate(queries, issuerKeySha256, serial);
    if (found?.door === 'drill') return found;
  }
  return null;
}

/** @throws not-found for another environment's job too: it is none of this probe's business that there is one */
async function checkJob({ environmentOfJob }: DrillDeps, node: Node, jobId: string): Promise<void> {
  const environment = jobId.length > MAXIMUM_JOB_ID ? null : await environmentOfJob(jobId);
  if (environment !== node.environment)
    throw new Problem('not-found', `Cannot serve drill: no open job ${JSON.stringify(jobId.slice(0, MAXIMUM_JOB_ID))}`);
}

function readKind(kind: string): DrillRunKind {
  if (kind === POSITIVE_DRILL || Object.hasOwn(drillReasons, kind)) return kind as DrillRunKind;
  throw new Problem(
    'input-invalid',
    `Cannot serve drill: kind ${JSON.stringify(kind.slice(0, 60))}, expected one of ${Object.keys(drillReasons).join(', ')}`,
  );
}

function isFlaw(kind: DrillRunKind): kind is DrillFlaw {
  return (drillFlaws as readonly string[]).includes(kind);
}

/** A name that no endpoint admits, beside the probe's own and as reserved as it. */
function strangerBeside(probe: SpiffeId): SpiffeId {
  return parseSpiffeId(probe.replace(/[^/]+$/, 'stranger'));
}

const MAXIMUM_JOB_ID = 100;
/** A run takes one for each of a dozen kinds, and a few more where it was cut off. */
const MAXIMUM_OF_A_JOB = 64;
/** More than are open at a time: a job ends within minutes. */
const MAXIMUM_JOBS = 10_000;
/** RFC 5280 section 4.1.2.2. */
const MAXIMUM_SERIAL = 20;
