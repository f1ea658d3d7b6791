import type { Instant } from '../time/instant.ts';

/** The kinds of things that have an id, each by its prefix. */
export type EntityKind =
  | 'account'
  | 'authority'
  | 'authorization'
  | 'domain'
  | 'drill'
  | 'endpoint'
  | 'entry'
  | 'exception'
  | 'key'
  | 'order'
  | 'path'
  | 'policy'
  | 'profile'
  | 'provider'
  | 'proxy'
  | 'request'
  | 'rollout'
  | 'service'
  | 'step'
  | 'token';

/** `<kind>_<26 characters>`: sorts by creation time within a kind, like a ULID. */
export type EntityId<K extends EntityKind = EntityKind> = `${K}_${string}`;

/**
 * Makes an id from a time and ten random octets (48 bits of time, 80 of randomness, Crockford base 32).
 */
export function makeEntityId<K extends EntityKind>(kind: K, now: Instant, random: Uint8Array): EntityId<K> {
  if (random.length !== RANDOM_OCTETS) throw new RangeError(`Cannot make id: ${random.length} random octets, expected ${RANDOM_OCTETS}`);
  let text = '';
  let time = now;
  for (let i = 0; i < 10; i++) {
    text = ALPHABET[time % 32]! + text;
    time = Math.floor(time / 32);
  }
  let bits = 0;
  let held = 0;
  for (const octet of random) {
    held = (held << 8) | octet;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET[(held >> bits) & 31]!;
    }
    held &= (1 << bits) - 1;
  }
  return `${kind}_${text}`;
}

/** True if the text is an id of this kind; what follows may use it as one. */
export function isEntityId<K extends EntityKind>(kind: K, text: string): text is EntityId<K> {
  return text.startsWith(`${kind}_`) && PATTERN.test(text.slice(kind.length + 1));
}

export const RANDOM_OCTETS = 10;
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const PATTERN = /^[0-9a-hjkmnp-tv-z]{26}$/;
