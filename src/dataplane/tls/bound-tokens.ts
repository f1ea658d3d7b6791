import { createHash, timingSafeEqual } from 'node:crypto';
import type { BoundTokens as WireTokens } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { type DeclaredKey, openTokenKey } from '../../core/oidc/token-key.ts';
import { type AccessToken, type TokenRules, verifyAccessToken } from '../../core/oidc/verify-access-token.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { CallRequest } from './call-request.ts';
import type { ProvedIdentity } from './peer.ts';

/** Holds the access token of each call against the certificate of its connection (RFC 8705 section 3). */
export class BoundTokens {
  readonly #rules: TokenRules;
  /** Good ones by their text: a signature costs more than all else that a call does. */
  readonly #known = new Map<string, AccessToken>();

  /** Without a key, as while the issuer's are not known, no token is good. @throws input-invalid */
  constructor({ issuer, audiences, keys }: WireTokens) {
    if (issuer === '' || audiences.length === 0 || keys.length > MAXIMUM_KEYS) {
      throw new Problem(
        'input-invalid',
        `Cannot use bound tokens: ${keys.length} keys, expected an issuer, an audience and at most ${MAXIMUM_KEYS} keys`,
      );
    }
    this.#rules = { issuer, audiences, keys: keys.map((text) => openTokenKey(parseKey(text))) };
  }

  /** Why the call has no token for this certificate; null if it has one. */
  findFault(now: Instant, identity: ProvedIdentity, request: CallRequest): string | null {
    const fields = request.fields();
    const values = fields.filter((_text, at) => at % 2 === 1 && fields[at - 1] === 'authorization');
    if (values.length !== 1) return values.length === 0 ? 'no token' : 'two authorization fields';
    const text = /^bearer +([^ ]+)$/i.exec(values[0]!)?.[1];
    if (text === undefined) return 'another scheme than Bearer';
    const known = this.#known.get(text);
    const reading = known === undefined ? verifyAccessToken(text, this.#rules) : ({ kind: 'token', token: known } as const);
    if (reading.kind === 'bad') return reading.because;
    const { token } = reading;
    if (now >= token.validUntil + SKEW_MS) return 'a token past its end';
    if (now < token.validFrom - SKEW_MS) return 'a token before its beginning';
    if (known === undefined) this.#keep(text, token);
    const certificate = createHash('sha256').update(identity.path[0]!).digest();
    return timingSafeEqual(certificate, token.certificateSha256) ? null : 'a token of another certificate';
  }

  #keep(text: string, token: AccessToken): void {
    const oldest = this.#known.size >= MAXIMUM_KNOWN ? this.#known.keys().next().value : undefined;
    if (oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(text, token);
  }
}

/** RFC 6750 section 3: who came without a token is told that there is such a thing, and no more. */
export function challengeFor(request: CallRequest): string {
  return request.fields().some((name, at) => at % 2 === 0 && name === 'authorization') ? 'Bearer error="invalid_token"' : 'Bearer';
}

function parseKey(text: string): DeclaredKey {
  try {
    return JSON.parse(text) as DeclaredKey;
  } catch (cause) {
    throw new Problem('input-invalid', 'Cannot use bound tokens: a key is no JSON, expected a JWK', { cause });
  }
}

/** Clocks of issuers and proxies differ by seconds. */
const SKEW_MS = 30_000;
/** A rotation needs two or three. */
const MAXIMUM_KEYS = 20;
/** A few kilobytes each. */
const MAXIMUM_KNOWN = 2_000;
