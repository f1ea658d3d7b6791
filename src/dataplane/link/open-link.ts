import { randomUUID } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import {
  EnrollmentService,
  IssueDrillCertificateRequestSchema,
  RevokeDrillCertificateRequestSchema,
} from '../../core/messages/generated/countersign/v1/enrollment_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { StoredIdentity } from '../../platform/keystore/stored-identity.ts';
import type { LinkStatus } from './link-handlers.ts';
import type { LinkOptions } from './link-options.ts';
import { runLink } from './run-link.ts';
import { TelemetryBuffer, type TelemetryContent } from './telemetry-buffer.ts';

/** A data plane's only connection to its control plane. It keeps itself up until it is disposed. */
export type Link = {
  /** Takes what one window measured. Never blocks, never throws; sent until it is acknowledged. */
  report(content: TelemetryContent): void;
  readonly identity: StoredIdentity;
  readonly status: LinkStatus;
  /** Connects anew, so that what was refused before is asked for again. */
  askAgain(): void;
  /** Asks for a new certificate now. Resolves when it is in force. @throws control-plane-unreachable, or what the control plane answered */
  renew(): Promise<void>;
  /** For the probe identity: a credential that must be refused. Returns the chain, DER, leaf first. @throws control-plane-unreachable, forbidden */
  issueDrillCertificate(request: {
    readonly jobId: string;
    readonly kind: string;
    readonly csr: Uint8Array;
  }): Promise<readonly Uint8Array[]>;
  /** Revokes a drill credential. Returns the sequence of the first revoked set that holds it. @throws as above */
  revokeDrillCertificate(request: { readonly jobId: string; readonly serial: Uint8Array }): Promise<bigint>;
  [Symbol.asyncDispose](): Promise<void>;
};

/**
 * Opens the link with the identity of the state directory (`joinControlPlane` puts it there). Returns at once: what arrives is handed to
 * the handlers, what is lost is made up for by reconnecting.
 * @throws state-conflict if there is no identity yet, state-corrupt, state-permissions
 */
export async function openLink(options: LinkOptions): Promise<Link> {
  const identity = await options.state.readIdentity();
  if (identity === null)
    throw new Problem('state-conflict', `Cannot open link: no identity in ${options.state.path}, expected a join first`);
  const buffer = new TelemetryBuffer(randomUUID());
  const running = await runLink({ ...options, identity, buffer, random: options.random ?? Math.random });
  return {
    report(content) {
      buffer.add(content);
      running.telemetryAdded();
    },
    get identity() {
      return running.identity();
    },
    get status() {
      return running.status();
    },
    askAgain: () => running.askAgain(),
    renew: () => running.renew(),
    async issueDrillCertificate(request) {
      const answer = await running
        .connection()
        .call(EnrollmentService.method.issueDrillCertificate, create(IssueDrillCertificateRequestSchema, request));
      return answer.chain;
    },
    async revokeDrillCertificate(request) {
      const answer = await running
        .connection()
        .call(EnrollmentService.method.revokeDrillCertificate, create(RevokeDrillCertificateRequestSchema, request));
      return answer.revokedSequence;
    },
    [Symbol.asyncDispose]: () => running.stop(),
  };
}
