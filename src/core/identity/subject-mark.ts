import { hash } from 'node:crypto';

/** The first 8 octets of the SHA-256 of a SPIFFE id: enough to tell the identities of a fleet apart where a mistake costs a connection and no more. */
export function subjectMark(spiffeId: string): Uint8Array {
  return new Uint8Array(hash('sha256', spiffeId, 'buffer').subarray(0, MARK_OCTETS));
}

const MARK_OCTETS = 8;
