import { Problem } from '../../core/problems/problem.ts';
import { type Instant, MINUTE_MS } from '../../core/time/instant.ts';
import { judgeByResponse } from '../../core/x509/judge-status.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { Credential } from './credential.ts';
import { type RevokedIndex, revocationKey } from './revoked-index.ts';

/** The OCSP answer about our own certificate, for handshakes (RFC 6066 section 8). It is held in memory: no handshake waits for anybody. */
export class HeldStaple {
  readonly #log: Log;
  #held: { readonly credential: string; readonly octets: Buffer; readonly until: Instant } | null = null;

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * Takes an answer that says good of this certificate, now, by its issuer or who that delegated. One that is refused leaves what is held.
   * @returns until when it is stapled. @throws input-invalid, der-malformed
   */
  take(now: Instant, response: Uint8Array, { leaf, issuer, digest }: Credential): Instant {
    if (issuer === null) throw refused('there is no issuer of ours to hold it against', 'a chain of two certificates');
    const standing = judgeByResponse(now, response, { leaf, issuer });
    if (standing.kind === 'revoked') throw refused('it says revoked', 'good');
    if (standing.kind === 'unknown') throw refused(standing.detail, 'good');
    if (standing.nextUpdate === null) throw refused('it names no next update', 'one, after which it is not shown');
    const until = standing.nextUpdate - CLOCK_MARGIN_MS;
    if (now >= until) throw refused('it is about to end', `more than ${CLOCK_MARGIN_MS} ms to go`);
    this.#held = { credential: digest, octets: Buffer.from(response), until };
    return until;
  }

  /** What a handshake with this certificate carries now; null: nothing, when it is past its time, about another certificate, or overtaken by a revocation. */
  octetsFor(
    { digest, leaf, issuer }: Credential,
    { now, revoked }: { readonly now: Instant; readonly revoked: RevokedIndex },
  ): Buffer | null {
    const held = this.#held;
    if (held === null || held.credential !== digest || issuer === null) return null;
    if (now >= held.until) {
      this.#held = null;
      this.#log('warn', 'staple has ended', { until: held.until });
      return null;
    }
    return revoked.certificates.has(revocationKey(issuer.spkiSha256, leaf.serialHex)) ? null : held.octets;
  }
}

function refused(found: string, expected: string): Problem {
  return new Problem('input-invalid', `Cannot staple OCSP response: ${found}, expected ${expected}`);
}

/** Clients whose clock is ahead by less still find it current. */
const CLOCK_MARGIN_MS = 5 * MINUTE_MS;
