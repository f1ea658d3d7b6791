import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Instant } from '../../core/time/instant.ts';
import { encodeDer } from '../../core/x509/der-writer.ts';
import { type CertId, certIdNode, isOfIssuer } from '../../core/x509/ocsp-cert-id.ts';
import type { OcspRequest } from '../../core/x509/ocsp-request.ts';
import type { OcspError, OcspStatus } from '../../core/x509/ocsp-response.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import type { Authorities } from './authorities.ts';
import { readSequence } from './authority-store.ts';
import type { CertificateKey } from './certificate-store.ts';
import { issueOcspSigner, type OcspSigner } from './issue-ocsp-signer.ts';
import { OCSP_RENEWAL_MS, readOcspStatus, type SignedOcspAnswer, signOcspAnswer, type UnassignedPolicy } from './sign-ocsp-answer.ts';

type Deps = { readonly database: AuditedDatabase; readonly authorities: Authorities; readonly changed: Signal };

/** `kept`: the same answer is given to others too, so caches may keep it as well. */
export type OcspReply =
  | { readonly kind: 'error'; readonly error: OcspError }
  | { readonly kind: 'answer'; readonly answer: SignedOcspAnswer; readonly kept: boolean };

/** What is kept of a question: `epoch` is the number of the revoked set at which the status was last seen to be so. */
type Kept = { readonly id: CertId; readonly status: OcspStatus; readonly answer: SignedOcspAnswer; epoch: number; hits: number };

/**
 * Answers by OCSP for all authorities of this process, signed when asked and then kept. An answer is kept as long as the revoked set has not changed,
 * and beyond if its own status has not; another process's revocation is seen within `EPOCH_MS`, one of this process at once.
 */
export class OcspAnswers implements Disposable {
  readonly #deps: Deps;
  readonly #unassigned: UnassignedPolicy;
  readonly #subscription: Disposable;
  readonly #kept = new Map<string, Kept>();
  #signers: ReadonlyMap<EntityId<'authority'>, OcspSigner> = new Map();
  #epoch = -1;
  #epochReadAt: Instant = Number.NEGATIVE_INFINITY;

  constructor(deps: Deps, options: { readonly unassigned: UnassignedPolicy } = { unassigned: 'unknown' }) {
    this.#deps = deps;
    this.#unassigned = options.unassigned;
    this.#subscription = deps.changed.subscribe(() => {
      this.#epochReadAt = Number.NEGATIVE_INFINITY;
    });
  }

  /** How many answers are kept. */
  get size(): number {
    return this.#kept.size;
  }

  /** The answer to a request. All of its questions must be of one issuer: one responder signs for it (RFC 6960 section 4.2.2.2). */
  async answer(request: OcspRequest, now: Instant): Promise<OcspReply> {
    const [first, ...others] = request.ids;
    if (this.#signers.size === 0) return { kind: 'error', error: 'tryLater' };
    const by = this.#signers.values().find((signer) => isOfIssuer(first!, signer.issuerHashes));
    if (by === undefined || others.some((id) => !isOfIssuer(id, by.issuerHashes))) return { kind: 'error', error: 'unauthorized' };
    if (now > by.responder.notAfter - OCSP_RENEWAL_MS) return { kind: 'error', error: 'tryLater' };
    if (others.length > 0 || request.nonce !== null) {
      return { kind: 'answer', answer: await this.#sign(by, request.ids, request.nonce, now), kept: false };
    }
    return this.#answerOne(by, first!, now);
  }

  /** The kept answer about one certificate of an authority here; null unless it says good. */
  async answerFor({ issuerKeySha256, serial }: CertificateKey, now: Instant): Promise<SignedOcspAnswer | null> {
    const by = this.#signers.values().find(({ authority }) => authority.keySha256 === issuerKeySha256);
    if (by === undefined || now > by.responder.notAfter - OCSP_RENEWAL_MS) return null;
    // Nearly all clients know SHA-1 here, and many nothing else: it is a name and no proof.
    const issuer = by.issuerHashes.sha1;
    const id: CertId = { der: encodeDer(certIdNode('sha1', issuer, serial)), hash: 'sha1', ...issuer, serial };
    const reply = await this.#answerOne(by, id, now);
    const kept = this.#kept.get(keyOf(id));
    return reply.kind === 'answer' && reply.answer === kept?.answer && kept.status.kind === 'good' ? kept.answer : null;
  }

  /**
   * Renews responders at half of their life, and answers: those that are asked for often are signed again before anybody waits for it, the others
   * are forgotten. Called at the start and every minute.
   */
  async reconcile(now: Instant): Promise<void> {
    const signers = new Map<EntityId<'authority'>, OcspSigner>();
    for (const authority of this.#deps.authorities.issuing) {
      const { notBefore, notAfter } = authority.certificate;
      if (now < notBefore || now > notAfter) continue;
      const held = this.#signers.get(authority.id);
      signers.set(authority.id, held !== undefined && !isHalfOver(held, now) ? held : await issueOcspSigner(this.#deps, authority, now));
    }
    this.#signers = signers;
    for (const [key, kept] of this.#kept) {
      if (now < kept.answer.thisUpdate + OCSP_RENEWAL_MS - PRESIGN_MS) continue;
      this.#kept.delete(key);
      const by = this.#signers.values().find((signer) => isOfIssuer(kept.id, signer.issuerHashes));
      if (by !== undefined && kept.hits >= HOT_HITS) await this.#signAndKeep(by, kept.id, now);
    }
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    this.#kept.clear();
  }

  async #answerOne(by: OcspSigner, id: CertId, now: Instant): Promise<OcspReply> {
    if (now - this.#epochReadAt >= EPOCH_MS) await this.#readEpoch(now);
    const kept = this.#kept.get(keyOf(id));
    if (kept !== undefined && now < kept.answer.thisUpdate + OCSP_RENEWAL_MS && now >= kept.answer.thisUpdate) {
      if (kept.epoch === this.#epoch || (await this.#stillHolds(by, kept))) {
        kept.hits++;
        return { kind: 'answer', answer: kept.answer, kept: true };
      }
    }
    return this.#signAndKeep(by, id, now);
  }

  async #stillHolds(by: OcspSigner, kept: Kept): Promise<boolean> {
    const epoch = this.#epoch;
    const status = await readOcspStatus(this.#deps.database.queries, by.authority.id, kept.id.serial);
    if (status === null || !sameStatus(status, kept.status)) return false;
    kept.epoch = epoch;
    return true;
  }

  /** What nobody has is answered anew each time: it may be issued in the next moment, and anybody can make up serials. */
  async #signAndKeep(by: OcspSigner, id: CertId, now: Instant): Promise<OcspReply> {
    // Read before the status: a revocation in between makes the answer be looked at again, never be kept wrongly.
    const epoch = this.#epoch;
    const status = await readOcspStatus(this.#deps.database.queries, by.authority.id, id.serial);
    const answer = await signOcspAnswer(by, [{ id, status }], { nonce: null, unassigned: this.#unassigned }, now);
    if (status === null) return { kind: 'answer', answer, kept: false };
    const key = keyOf(id);
    this.#kept.delete(key);
    this.#makeRoom();
    // The question is a view of a larger request.
    const own = {
      ...id,
      der: id.der.slice(),
      serial: id.serial.slice(),
      issuerNameHash: id.issuerNameHash.slice(),
      issuerKeyHash: id.issuerKeyHash.slice(),
    };
    this.#kept.set(key, { id: own, status, answer, epoch, hits: 0 });
    return { kind: 'answer', answer, kept: true };
  }

  async #sign(by: OcspSigner, ids: readonly CertId[], nonce: Uint8Array | null, now: Instant): Promise<SignedOcspAnswer> {
    const { queries } = this.#deps.database;
    const answers: { readonly id: CertId; readonly status: OcspStatus | null }[] = [];
    for (const id of ids) answers.push({ id, status: await readOcspStatus(queries, by.authority.id, id.serial) });
    return signOcspAnswer(by, answers, { nonce, unassigned: this.#unassigned }, now);
  }

  async #readEpoch(now: Instant): Promise<void> {
    this.#epochReadAt = now;
    this.#epoch = await readSequence(this.#deps.database.queries, 'revoked-set');
  }

  /** The oldest goes, but what was asked for since gets another turn. */
  #makeRoom(): void {
    for (let turn = 0; this.#kept.size >= MAXIMUM_KEPT; turn++) {
      const [key, oldest] = this.#kept.entries().next().value!;
      this.#kept.delete(key);
      if (oldest.hits === 0 || turn >= MAXIMUM_TURNS) continue;
      oldest.hits = 0;
      this.#kept.set(key, oldest);
    }
  }
}

/** Issuer, serial and hash are all in the CertID, which has two spellings at most. */
function keyOf({ der }: CertId): string {
  return Buffer.from(der.buffer, der.byteOffset, der.length).toString('latin1');
}

function isHalfOver({ responder: { notBefore, notAfter } }: OcspSigner, now: Instant): boolean {
  return now >= notBefore + (notAfter - notBefore) / 2;
}

function sameStatus(a: OcspStatus, b: OcspStatus): boolean {
  if (a.kind !== 'revoked' || b.kind !== 'revoked') return a.kind === b.kind;
  return a.at === b.at && a.reason === b.reason;
}

/** How late another process's revocation may be seen. */
const EPOCH_MS = 250;
/** Some 1.2 KB each. */
const MAXIMUM_KEPT = 20_000;
const MAXIMUM_TURNS = 8;
/** Signed again this long before they would be made anew when asked. */
const PRESIGN_MS = 10 * 60_000;
const HOT_HITS = 4;
