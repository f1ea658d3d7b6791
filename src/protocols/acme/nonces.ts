import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import type { Secret } from '../../core/secrets/secret.ts';
import { HOUR_MS, type Instant, SECOND_MS } from '../../core/time/instant.ts';
import { decodeBase64url } from './base64url.ts';
import { UsedNonces } from './used-nonces.ts';

/**
 * Anti-replay nonces without a row (RFC 8555 section 6.5): `issuer ‖ counter ‖ AES-256-GCM(seconds)`, under a key derived from the stored secret
 * for the issuing process. Every replica and every later start opens them; each remembers which it has seen.
 */
export class Nonces {
  readonly #secret: Secret<Uint8Array>;
  readonly #issuer = randomBytes(ISSUER_OCTETS);
  readonly #keys = new Map<string, Buffer>();
  readonly #used = new UsedNonces();
  #counter = 0;

  constructor(secret: Secret<Uint8Array>) {
    this.#secret = secret;
  }

  issue(now: Instant): string {
    this.#counter += 1;
    const head = Buffer.alloc(HEAD_OCTETS);
    this.#issuer.copy(head);
    head.writeUIntBE(this.#counter, ISSUER_OCTETS, COUNTER_OCTETS);
    const seconds = Buffer.alloc(TIME_OCTETS);
    seconds.writeUIntBE(Math.floor(now / SECOND_MS), 0, TIME_OCTETS);
    // The key is this process's own and the counter never repeats, so neither does the pair.
    const cipher = createCipheriv('aes-256-gcm', this.#keyOf(this.#issuer), ivOf(head)).setAAD(head);
    return Buffer.concat([head, cipher.update(seconds), cipher.final(), cipher.getAuthTag()]).toString('base64url');
  }

  /** `malformed` is what no nonce looks like; `bad` is forged, old or used: another one will do. */
  redeem(text: string, now: Instant): 'good' | 'bad' | 'malformed' {
    const octets = text.length > MAXIMUM_CHARACTERS ? null : decodeBase64url(text);
    if (octets === null || octets.length === 0) return 'malformed';
    if (octets.length !== HEAD_OCTETS + TIME_OCTETS + TAG_OCTETS) return 'bad';
    const issuedAt = this.#open(octets);
    if (issuedAt === null || issuedAt + LIFETIME_MS < now || issuedAt > now + CLOCK_SKEW_MS) return 'bad';
    const counter = octets.readUIntBE(ISSUER_OCTETS, COUNTER_OCTETS);
    return this.#used.take(octets.toString('latin1', 0, ISSUER_OCTETS), counter) ? 'good' : 'bad';
  }

  #open(octets: Buffer): Instant | null {
    const head = octets.subarray(0, HEAD_OCTETS);
    const key = this.#keyOf(head.subarray(0, ISSUER_OCTETS));
    const decipher = createDecipheriv('aes-256-gcm', key, ivOf(head), { authTagLength: TAG_OCTETS });
    decipher.setAAD(head).setAuthTag(octets.subarray(-TAG_OCTETS));
    try {
      const seconds = Buffer.concat([decipher.update(octets.subarray(HEAD_OCTETS, -TAG_OCTETS)), decipher.final()]);
      return seconds.readUIntBE(0, TIME_OCTETS) * SECOND_MS;
    } catch {
      return null;
    }
  }

  #keyOf(issuer: Buffer): Buffer {
    const name = issuer.toString('latin1');
    const held = this.#keys.get(name);
    if (held !== undefined) return held;
    if (this.#keys.size >= MAXIMUM_KEYS) this.#keys.delete(this.#keys.keys().next().value!);
    const key = Buffer.from(hkdfSync('sha256', this.#secret.reveal(), issuer, 'countersign acme nonce v1', 32));
    this.#keys.set(name, key);
    return key;
  }
}

/** 96 bits: zeros and the counter. */
function ivOf(head: Buffer): Buffer {
  const iv = Buffer.alloc(12);
  head.copy(iv, 12 - COUNTER_OCTETS, ISSUER_OCTETS, HEAD_OCTETS);
  return iv;
}

const ISSUER_OCTETS = 8;
const COUNTER_OCTETS = 6;
const HEAD_OCTETS = ISSUER_OCTETS + COUNTER_OCTETS;
const TIME_OCTETS = 5;
const TAG_OCTETS = 16;
const MAXIMUM_CHARACTERS = 200;
/** A client may wait for somebody to change a zone between two requests. */
const LIFETIME_MS = HOUR_MS;
/** Between the clocks of two replicas. */
const CLOCK_SKEW_MS = 60 * SECOND_MS;
/** Forged issuers cost a derivation each and push out one another; the own key is derived again when it fell out. */
const MAXIMUM_KEYS = 64;
