import { createHash } from 'node:crypto';
import { Problem } from '../../core/problems/problem.ts';
import { HOUR_MS, type Instant, SECOND_MS } from '../../core/time/instant.ts';
import { assembleCertificateList, buildTbsCertificateList, type RevokedEntry } from '../../core/x509/build-certificate-list.ts';
import { lintTbsCertificateList } from '../../core/x509/lint-certificate-list.ts';
import { countListEntries, type EncodedEntries } from '../../core/x509/merge-list-entries.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import type { IssuingAuthority } from './authorities.ts';
import { type FleetListRecord, type ListedSerial, replaceFleetList } from './fleet-list-store.ts';
import { VettedEntries } from './vetted-entries.ts';

export type NextFleetList = {
  readonly before: FleetListRecord | null;
  readonly now: Instant;
  /** All that it is to hold; `entryOf` says how what is not encoded yet stands on it. */
  readonly entriesAt: (entryOf: (listed: ListedSerial) => RevokedEntry) => EncodedEntries;
};

/** Signs, stores and logs lists for data planes. */
export class FleetListMaker {
  readonly #database: AuditedDatabase;
  readonly #vetted = new VettedEntries();

  constructor(database: AuditedDatabase) {
    this.#database = database;
  }

  /** Null, and nothing done, if another was made meanwhile. @throws internal if the list breaks a rule of the lint, which says so */
  async make(authority: IssuingAuthority, { before, now, entriesAt }: NextFleetList): Promise<FleetListRecord | null> {
    // Of its own, above those that are published: numbers of both may never meet (RFC 5280 section 5.2.3).
    const number = Math.max((before?.number ?? 0) + 1, now);
    // A data plane's clock may be slow, and a list of the future is as bad as none.
    const thisUpdate = Math.max(authority.certificate.notBefore, Math.floor((now - HOUR_MS) / SECOND_MS) * SECOND_MS);
    const entries = entriesAt(({ serial, revokedAt }) => ({ serial, reason: 'unspecified', revokedAt: Math.min(revokedAt, thisUpdate) }));
    const der = await this.#sign(authority, { entries, number, thisUpdate, now });
    const digest = createHash('sha256').update(der).digest('hex');
    const next: FleetListRecord = { authorityId: authority.id, number, digest, der };
    const isMade = await this.#database.commit(async (unit) => {
      if (!(await replaceFleetList(unit.queries, before?.number ?? null, next))) return false;
      const { environment, region, id } = authority;
      const data = { authorityId: id, number, entries: countListEntries(entries), octets: der.length };
      recordEntry(unit, { type: 'crl.fleet-list', at: now, environment, region, actor: { kind: 'system', name: 'ca' }, data });
      return true;
    });
    return isMade ? next : null;
  }

  async #sign({ id, certificate, signer }: IssuingAuthority, { entries, number, thisUpdate, now }: Unsigned): Promise<Uint8Array> {
    const tbs = buildTbsCertificateList({
      signatureAlgorithm: signer.algorithm,
      issuer: certificate.subject,
      thisUpdate,
      nextUpdate: certificate.notAfter,
      entries: [],
      encodedEntries: entries,
      authorityKeyId: Buffer.from(certificate.subjectKeyId ?? '', 'hex'),
      crlNumber: Buffer.from(number.toString(16).padStart(16, '0'), 'hex'),
    });
    const lint = lintTbsCertificateList(tbs, certificate, { now, life: 'issuer', vetted: this.#vetted.find(id, thisUpdate) });
    if (lint.kind === 'faulty') {
      throw new Problem('internal', `Cannot make list: ${lint.findings.map(({ rule, message }) => `${rule}: ${message}`).join('; ')}`);
    }
    this.#vetted.keep(id, entries, thisUpdate);
    return assembleCertificateList(tbs, signer.algorithm, await signer.sign(lint.tbs));
  }
}

type Unsigned = { readonly entries: EncodedEntries; readonly number: number; readonly thisUpdate: Instant; readonly now: Instant };
