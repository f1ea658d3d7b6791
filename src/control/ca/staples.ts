import type { EntityId } from '../../core/ids/entity-id.ts';
import { HOUR_MS, type Instant, MINUTE_MS } from '../../core/time/instant.ts';
import { ocspUrisOf } from '../../core/x509/authority-info-access.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import type { Queries } from '../../platform/db/database.ts';
import { findCertificate } from './certificate-store.ts';
import type { OcspAnswers } from './ocsp-answers.ts';
import { OCSP_RENEWAL_MS, type SignedOcspAnswer } from './sign-ocsp-answer.ts';

/** A data plane and the certificate by which it is connected. */
export type StapleHolder = {
  readonly proxyId: EntityId<'proxy'>;
  readonly issuerKeySha256: string;
  /** Content octets of the serial number, lower case hex. */
  readonly serialHex: string;
};

type Listener = (proxyIds: readonly string[]) => void;

/**
 * What data planes staple to their certificates (RFC 6066 section 8): our own answer by OCSP, delivered, so that no data plane asks anybody. Nothing is
 * stored: an answer is signed when a data plane connects, and again long before it ends, each at a time of its own.
 */
export class Staples {
  readonly #deps: { readonly queries: Queries; readonly ocsp: OcspAnswers; readonly random?: () => number };
  /** When the data plane of each certificate gets the next one. */
  readonly #due = new Map<string, { readonly proxyId: EntityId<'proxy'>; readonly at: Instant }>();
  readonly #listeners = new Set<Listener>();

  constructor(deps: { readonly queries: Queries; readonly ocsp: OcspAnswers; readonly random?: () => number }) {
    this.#deps = deps;
  }

  /** The answer for this certificate, if it names a responder and is good; null: nothing is to be stapled to it. */
  async read({ proxyId, issuerKeySha256, serialHex }: StapleHolder, now: Instant): Promise<SignedOcspAnswer | null> {
    const { queries, ocsp, random = Math.random } = this.#deps;
    const serial = Buffer.from(serialHex, 'hex');
    const der = (await findCertificate(queries, issuerKeySha256, serial))?.der ?? null;
    if (der === null || ocspUrisOf(parseCertificate(der)).length === 0) return null;
    const answer = await ocsp.answerFor({ issuerKeySha256, serial }, now);
    const at = answer === null ? now + RETRY_MS : answer.thisUpdate + OCSP_RENEWAL_MS + random() * SPREAD_MS;
    this.#due.set(`${issuerKeySha256} ${serialHex}`, { proxyId, at });
    return answer;
  }

  /** Tells of the data planes whose turn it is; who is connected reads anew. Called every minute. */
  reconcile(now: Instant): void {
    const due = [...this.#due].filter(([, { at }]) => at <= now);
    if (due.length === 0) return;
    for (const [key] of due) this.#due.delete(key);
    const proxyIds = due.map(([, { proxyId }]) => proxyId);
    for (const listener of this.#listeners) listener(proxyIds);
  }

  subscribe(listener: Listener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }
}

/** A fleet that came at once does not come again at once; what is left of an answer's life then is time for whoever was away. */
const SPREAD_MS = 6 * HOUR_MS;
/** Responders are made within the first minute of a process. */
const RETRY_MS = MINUTE_MS;
