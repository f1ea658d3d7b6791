import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import type { Secret } from '../../core/secrets/secret.ts';
import { HOUR_MS, type Instant, SECOND_MS } from '../../core/time/instant.ts';
import { decodeBase64url } from './base64url.ts';
import { UsedNonces } from './used-nonces.ts';

/**
 * Anti-replay nonces without a row (RFC 8555 section 6.5): `issuer ‖ counter ‖ AES-256-GCM(seconds)`, under a key derived from the stored secret
 * for the issuing process. Every replica and every later start opens them; each remembers which it has seen. What this process sealed lately it
 * knows by its text, and need not open.
 */
export class Nonces {
  readonly #secret: Secret<Uint8Array>;
  readonly #issuer = randomBytes(ISSUER_OCTETS);
  readonly #issuerName = nameOf(this.#issuer);
  readonly #ownKey: Buffer;
  readonly #keys = new Map<string, Buffer>();
  readonly #used = new UsedNonces();
  readonly #sealed = new Map<string, Sealed>();
  #counter = 0;

  constructor(secret: Secret<Uint8Array>) {
    this.#secret = secret;
    this.#ownKey = this.#deriveKey(this.#issuer);
  }

  issue(now: Instant): string {
    const counter = ++this.#counter;
    const seconds = Math.floor(now / SECOND_MS);
    const octets = Buffer.allocUnsafe(NONCE_OCTETS);
    this.#issuer.copy(octets);
    octets.writeUIntBE(counter, ISSUER_OCTETS, COUNTER_OCTETS);
    octets.writeUIntBE(seconds, HEAD_OCTETS, TIME_OCTETS);
    // The key is this process's own and the counter never repeats, so neither does the pair.
    const cipher = createCipheriv('aes-256-gcm', this.#ownKey, ivOf(octets)).setAAD(octets.subarray(0, HEAD_OCTETS));
    cipher.update(octets.subarray(HEAD_OCTETS, TAG_AT)).copy(octets, HEAD_OCTETS);
    cipher.final();
    cipher.getAuthTag().copy(octets, TAG_AT);
    const text = octets.toString('base64url');
    this.#remember(text, { counter, issuedAt: seconds * SECOND_MS });
    return text;
  }

  /** `malformed` is what no nonce looks like; `bad` is forged, old or used: another one will do. */
  redeem(text: string, now: Instant): 'good' | 'bad' | 'malformed' {
    const known = this.#sealed.get(text);
    if (known !== undefined) {
      this.#sealed.delete(text);
      return this.#take(this.#issuerName, known, now);
    }
    const octets = text.length > MAXIMUM_CHARACTERS ? null : decodeBase64url(text);
    if (octets === null || octets.length === 0) return 'malformed';
    if (octets.length !== NONCE_OCTETS) return 'bad';
    const issuedAt = this.#open(octets);
    if (issuedAt === null) return 'bad';
    const counter = octets.readUIntBE(ISSUER_OCTETS, COUNTER_OCTETS);
    return this.#take(nameOf(octets.subarray(0, ISSUER_OCTETS)), { counter, issuedAt }, now);
  }

  /** Once, whichever way it was known. */
  #take(issuer: string, { counter, issuedAt }: Sealed, now: Instant): 'good' | 'bad' {
    if (issuedAt + LIFETIME_MS < now || issuedAt > now + CLOCK_SKEW_MS) return 'bad';
    return this.#used.take(issuer, counter) ? 'good' : 'bad';
  }

  /** Strangers may ask for as many as they like: the oldest are forgotten, and opened when they come. */
  #remember(text: string, sealed: Sealed): void {
    if (this.#sealed.size >= MAXIMUM_SEALED) this.#sealed.delete(this.#sealed.keys().next().value!);
    this.#sealed.set(text, sealed);
  }

  #open(octets: Buffer): Instant | null {
    const decipher = createDecipheriv('aes-256-gcm', this.#keyOf(octets), ivOf(octets), { authTagLength: TAG_OCTETS });
    decipher.setAAD(octets.subarray(0, HEAD_OCTETS)).setAuthTag(octets.subarray(TAG_AT));
    try {
      const seconds = Buffer.concat([decipher.update(octets.subarray(HEAD_OCTETS, TAG_AT)), decipher.final()]);
      return seconds.readUIntBE(0, TIME_OCTETS) * SECOND_MS;
    } catch {
      return null;
    }
  }

  #keyOf(octets: Buffer): Buffer {
    const issuer = octets.subarray(0, ISSUER_OCTETS);
    const name = nameOf(issuer);
    if (name === this.#issuerName) return this.#ownKey;
    const held = this.#keys.get(name);
    if (held !== undefined) return held;
    if (this.#keys.size >= MAXIMUM_KEYS) this.#keys.delete(this.#keys.keys().next().value!);
    const key = this.#deriveKey(issuer);
    this.#keys.set(name, key);
    return key;
  }

  #deriveKey(issuer: Buffer): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#secret.reveal(), issuer, 'countersign acme nonce v1', 32));
  }
}

type Sealed = { readonly counter: number; readonly issuedAt: Instant };

function nameOf(issuer: Buffer): string {
  return issuer.toString('latin1');
}

/** 96 bits: zeros and the counter. */
function ivOf(octets: Buffer): Buffer {
  const iv = Buffer.alloc(12);
  octets.copy(iv, 12 - COUNTER_OCTETS, ISSUER_OCTETS, HEAD_OCTETS);
  return iv;
}

const ISSUER_OCTETS = 8;
const COUNTER_OCTETS = 6;
const HEAD_OCTETS = ISSUER_OCTETS + COUNTER_OCTETS;
const TIME_OCTETS = 5;
const TAG_AT = HEAD_OCTETS + TIME_OCTETS;
const TAG_OCTETS = 16;
const NONCE_OCTETS = TAG_AT + TAG_OCTETS;
const MAXIMUM_CHARACTERS = 200;
/** A client may wait for somebody to change a zone between two requests. */
const LIFETIME_MS = HOUR_MS;
/** Between the clocks of two replicas. */
const CLOCK_SKEW_MS = 60 * SECOND_MS;
/** Forged issuers cost a derivation each and push out one another; the own key stands apart. */
const MAXIMUM_KEYS = 64;
/** Those that clients are about to use; some 150 octets each. */
const MAXIMUM_SEALED = 16_384;
