import { create } from '@bufbuild/protobuf';
import { type ServedCertificate, ServedCertificateSchema } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import type { ProvedIdentity } from './peer.ts';

/** The certificate that a handshake with each endpoint was last seen to serve. Issued is not served, so nothing else is written here. */
export class ServedCertificates {
  #byEndpoint = new Map<string, ServedCertificate>();

  saw(endpointIds: readonly string[], { certificate, validUntil }: ProvedIdentity): void {
    const { issuerKeySha256, serial } = certificate;
    for (const endpointId of endpointIds) {
      this.#byEndpoint.set(
        endpointId,
        create(ServedCertificateSchema, { endpointId, issuerKeySha256, serial, notAfterMs: BigInt(validUntil) }),
      );
    }
  }

  /** Forgets the endpoints that are served no more. */
  keep(endpointIds: readonly string[]): void {
    const kept = new Set(endpointIds);
    this.#byEndpoint = new Map([...this.#byEndpoint].filter(([endpointId]) => kept.has(endpointId)));
  }

  list(): ServedCertificate[] {
    return [...this.#byEndpoint.values()];
  }
}
