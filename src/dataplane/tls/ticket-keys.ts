import { randomBytes } from 'node:crypto';
import type { TicketKeys as WireTicketKeys } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';

/** The keys that session tickets are sealed under, 48 octets each: name, HMAC key, AES key. */
export type TicketKeys = {
  /** For new tickets. */
  readonly sealing: Buffer;
  /** Tickets under these resume, too. */
  readonly accepted: readonly Buffer[];
};

/** Keys that nobody else has: of a data plane that was given none. */
export function makeTicketKeys(): TicketKeys {
  return { sealing: randomBytes(KEY_OCTETS), accepted: [] };
}

/** @throws input-invalid; what the keys are is not repeated */
export function parseTicketKeys({ sealing, accepted }: WireTicketKeys): TicketKeys {
  const wrong = [sealing, ...accepted].find(({ length }) => length !== KEY_OCTETS);
  if (wrong !== undefined || accepted.length > MAXIMUM_ACCEPTED) {
    const found = wrong === undefined ? `${accepted.length} keys to accept` : `a key of ${wrong.length} octets`;
    throw new Problem(
      'input-invalid',
      `Cannot use ticket keys: ${found}, expected at most ${MAXIMUM_ACCEPTED}, each of ${KEY_OCTETS} octets`,
    );
  }
  return { sealing: Buffer.from(sealing), accepted: accepted.map((key) => Buffer.from(key)) };
}

/** The accepted key of this name, else the one for new tickets. The index tells keys apart without showing them. */
export function keyNamed({ sealing, accepted }: TicketKeys, name: Uint8Array | null): { readonly key: Buffer; readonly index: number } {
  const index = name === null ? -1 : accepted.findIndex((key) => key.subarray(0, NAME_OCTETS).equals(name));
  return { key: accepted[index] ?? sealing, index };
}

const KEY_OCTETS = 48;
const NAME_OCTETS = 16;
/** The one before and the one after; each costs a TLS context a policy once it is used. */
const MAXIMUM_ACCEPTED = 4;
