import { hkdfSync } from 'node:crypto';
import type { TicketKeys } from '../tls/ticket-keys.ts';

/**
 * The keys of session tickets as Envoy takes them, 80 octets each, the first for new tickets (name 16, HMAC 32, AES 32). They are derived
 * from the 48 octets that the data planes of an identity share, so that Envoys of one identity resume each other's sessions and a native
 * proxy's keys cannot be read out of an Envoy. The name differs, too: neither kind takes a ticket of the other for its own.
 */
export function envoyTicketKeys({ sealing, accepted }: TicketKeys): Buffer[] {
  return [sealing, ...accepted].map((key) => Buffer.from(hkdfSync('sha256', key, NO_SALT, PURPOSE, ENVOY_KEY_OCTETS)));
}

const PURPOSE = 'countersign envoy session ticket key 1';
const NO_SALT = new Uint8Array();
const ENVOY_KEY_OCTETS = 80;
