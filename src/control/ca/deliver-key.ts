import { generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { Problem } from '../../core/problems/problem.ts';
import { type Instant, SECOND_MS } from '../../core/time/instant.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import type { Authorities } from './authorities.ts';
import { type CertificateKey, findCertificate } from './certificate-store.ts';
import type { IssuedCertificate } from './issuance-request.ts';
import { findProfile } from './prepare-certificate.ts';
import { renewCertificate } from './renew-certificate.ts';

/** A key that was made here, and its certificate. Nobody else has it once the caller has sent it. */
export type MadeKey = { readonly privateKey: KeyObject; readonly issued: IssuedCertificate };

/**
 * Keys for programs that cannot make their own: Envoys that others run, which fetch them by SDS. Only where the profile of the certificate that they show says
 * `remoteKeys`; the certificate comes through the one door as a renewal of that one; the key is in memory until it is sent, and the log says that it was handed out.
 */
export class KeyDeliveries {
  readonly #deps: { readonly database: AuditedDatabase; readonly authorities: Authorities };
  readonly #lastAt = new Map<string, Instant>();

  constructor(deps: { readonly database: AuditedDatabase; readonly authorities: Authorities }) {
    this.#deps = deps;
  }

  /**
   * Null if the profile does not say that keys may be handed out.
   * @throws issuance-refused once the certificate shown is revoked or its identity suspended; rate-limited if the last one was a moment ago
   */
  async deliver(shown: CertificateKey, now: Instant): Promise<MadeKey | null> {
    const { database, authorities } = this.#deps;
    const held = await findCertificate(database.queries, shown.issuerKeySha256, shown.serial);
    if (held === null || held.spiffeId === null) return null;
    if (findProfile(authorities, held.environment, held.profile)?.remoteKeys !== true) return null;
    this.#count(held.spiffeId, now);
    const { privateKey } = await makeKeyPair('ec', { namedCurve: 'P-256' });
    const csr = parseCertificateRequest(buildCertificateRequest({ uris: [held.spiffeId] }, privateKey));
    const issued = await renewCertificate(this.#deps, { predecessor: shown, csr, by: { kind: 'holder' }, note: { remoteKey: true } }, now);
    await database.commit(async (unit) => {
      const { environment, region, spiffeId } = held;
      const shownSerial = Buffer.from(shown.serial).toString('hex');
      const data = { spiffeId, issuerId: issued.issuerId, serial: issued.serialHex, shownSerial, by: 'sds' };
      recordEntry(unit, { type: 'key.delivered', at: now, environment, region, actor: { kind: 'machine', name: spiffeId! }, data });
    });
    return { privateKey, issued };
  }

  /** A client that comes back again and again would have a certificate each time. */
  #count(spiffeId: string, now: Instant): void {
    const lastAt = this.#lastAt.get(spiffeId);
    if (lastAt !== undefined && now - lastAt < INTERVAL_MS)
      throw new Problem(
        'rate-limited',
        `Cannot deliver key: the last one of ${spiffeId} was ${now - lastAt} ms ago, expected ${INTERVAL_MS}`,
      );
    this.#lastAt.delete(spiffeId);
    this.#lastAt.set(spiffeId, now);
    const [oldest] = this.#lastAt.keys();
    if (this.#lastAt.size > MAXIMUM_REMEMBERED) this.#lastAt.delete(oldest!);
  }
}

const makeKeyPair = promisify(generateKeyPair);
const INTERVAL_MS = 5 * SECOND_MS;
const MAXIMUM_REMEMBERED = 10_000;
