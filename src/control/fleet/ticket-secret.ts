import { randomBytes } from 'node:crypto';
import { Problem } from '../../core/problems/problem.ts';
import { Secret } from '../../core/secrets/secret.ts';

/** Three ticket keys of 48 octets: what seals, and what is accepted beside it. */
export type TicketSecret = {
  readonly sealing: Uint8Array;
  /** The one that will seal next, and the one that did before. */
  readonly accepted: readonly [next: Uint8Array, previous: Uint8Array];
};

/** How far a rotation goes: one step, or so that no ticket of before is worth anything. */
export type TicketRotation = 'step' | 'replace-all';

export function newTicketSecret(): Secret<Uint8Array> {
  return new Secret<Uint8Array>(randomBytes(3 * KEY_OCTETS));
}

/** The next key becomes the one that seals. Every data plane has accepted it for a whole period, so that no session is lost on the way. */
export function stepTicketSecret(secret: Secret<Uint8Array>): Secret<Uint8Array> {
  const { sealing, accepted } = readTicketSecret(secret);
  return new Secret<Uint8Array>(Buffer.concat([randomBytes(KEY_OCTETS), accepted[0], sealing]));
}

/** @throws key-locked if it is no such secret */
export function readTicketSecret(secret: Secret<Uint8Array>): TicketSecret {
  const octets = secret.reveal();
  if (octets.length !== 3 * KEY_OCTETS)
    throw new Problem('key-locked', `Cannot use ticket keys: ${octets.length} octets, expected ${3 * KEY_OCTETS}`);
  const [next, sealing, previous] = [0, 1, 2].map((index) => octets.subarray(index * KEY_OCTETS, (index + 1) * KEY_OCTETS));
  return { sealing: sealing!, accepted: [next!, previous!] };
}

const KEY_OCTETS = 48;
