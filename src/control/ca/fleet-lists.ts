import { createHash } from 'node:crypto';
import { HOUR_MS, type Instant, SECOND_MS } from '../../core/time/instant.ts';
import { assembleCertificateList, buildTbsCertificateList } from '../../core/x509/build-certificate-list.ts';
import { lintTbsCertificateList } from '../../core/x509/lint-certificate-list.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import type { Authorities, IssuingAuthority } from './authorities.ts';
import { readSequence } from './authority-store.ts';
import type { ListedRevocation } from './crl-store.ts';
import { type FleetListRecord, listFleetLists, listRevokedByAuthority, replaceFleetList } from './fleet-list-store.ts';

/**
 * The revoked set as complete lists of certificates, one an authority, for data planes that know no other form of it (Envoy). They are in no certificate's
 * distribution point: not sharded, so that one list answers for every certificate, and good until the authority's end, because one that
 * ran out while the control plane is away would have every handshake refused.
 */
export class FleetLists {
  readonly #deps: { readonly database: AuditedDatabase; readonly authorities: Authorities };
  #turns: Promise<unknown> = Promise.resolve();
  #held: { readonly sequence: number; readonly lists: ReadonlyMap<string, Uint8Array> } | null = null;

  constructor(deps: { readonly database: AuditedDatabase; readonly authorities: Authorities }) {
    this.#deps = deps;
  }

  /** DER by the issuer's key (SHA-256 of SubjectPublicKeyInfo, lower case hex). Made anew, signed and logged where the set has other certificates. */
  read(now: Instant): Promise<ReadonlyMap<string, Uint8Array>> {
    // One after another: two readers of one change would make two lists of it.
    const turn = this.#turns.then(() => this.#read(now, ATTEMPTS));
    this.#turns = turn.catch(() => undefined);
    return turn;
  }

  async #read(now: Instant, attempts: number): Promise<ReadonlyMap<string, Uint8Array>> {
    const { queries } = this.#deps.database;
    // Read first: what is revoked meanwhile is on the list early and looked at again, never missed.
    const sequence = await readSequence(queries, 'revoked-set');
    if (this.#held?.sequence === sequence) return this.#held.lists;
    const revoked = await listRevokedByAuthority(queries);
    const stored = new Map((await listFleetLists(queries)).map((record) => [record.authorityId, record]));
    const lists = new Map<string, Uint8Array>();
    for (const authority of this.#deps.authorities.issuing) {
      const record = await this.#bring(
        authority,
        { held: stored.get(authority.id) ?? null, revoked: revoked.get(authority.id) ?? [] },
        now,
      );
      // Another server's came first; whether it has all that this one knows is looked at anew.
      if (record === null && attempts > 1) return this.#read(now, attempts - 1);
      if (record === null) throw new Problem('state-conflict', `Cannot make list: others of authority ${authority.id} were made meanwhile`);
      lists.set(authority.keySha256, record.der);
    }
    this.#held = { sequence, lists };
    return lists;
  }

  async #bring(
    authority: IssuingAuthority,
    { held, revoked }: { readonly held: FleetListRecord | null; readonly revoked: readonly ListedRevocation[] },
    now: Instant,
  ): Promise<FleetListRecord | null> {
    const digest = digestOf(revoked);
    if (held?.digest === digest) return held;
    // Of its own, above those that are published: numbers of both may never meet (RFC 5280 section 5.2.3).
    const number = Math.max((held?.number ?? 0) + 1, now);
    const der = await signList(authority, { revoked, number }, now);
    const next: FleetListRecord = { authorityId: authority.id, number, digest, der };
    const isMade = await this.#deps.database.commit(async (unit) => {
      if (!(await replaceFleetList(unit.queries, held?.number ?? null, next))) return false;
      const { environment, region, id } = authority;
      const data = { authorityId: id, number, entries: revoked.length, octets: der.length };
      recordEntry(unit, { type: 'crl.fleet-list', at: now, environment, region, actor: { kind: 'system', name: 'ca' }, data });
      return true;
    });
    return isMade ? next : null;
  }
}

async function signList(
  { certificate, signer }: IssuingAuthority,
  { revoked, number }: { readonly revoked: readonly ListedRevocation[]; readonly number: number },
  now: Instant,
): Promise<Uint8Array> {
  // A data plane's clock may be slow, and a list of the future is as bad as none.
  const thisUpdate = Math.max(certificate.notBefore, Math.floor((now - HOUR_MS) / SECOND_MS) * SECOND_MS);
  const tbs = buildTbsCertificateList({
    signatureAlgorithm: signer.algorithm,
    issuer: certificate.subject,
    thisUpdate,
    nextUpdate: certificate.notAfter,
    entries: revoked.map(({ serial, revokedAt, reason }) => ({ serial, reason, revokedAt: Math.min(revokedAt, thisUpdate) })),
    authorityKeyId: Buffer.from(certificate.subjectKeyId ?? '', 'hex'),
    crlNumber: Buffer.from(number.toString(16).padStart(16, '0'), 'hex'),
  });
  const lint = lintTbsCertificateList(tbs, certificate, { now, life: 'issuer' });
  if (lint.kind === 'faulty') {
    throw new Problem('internal', `Cannot make list: ${lint.findings.map(({ rule, message }) => `${rule}: ${message}`).join('; ')}`);
  }
  return assembleCertificateList(tbs, signer.algorithm, await signer.sign(lint.tbs));
}

function digestOf(revoked: readonly ListedRevocation[]): string {
  const hash = createHash('sha256');
  for (const { serial } of revoked) hash.update(`${Buffer.from(serial).toString('hex')}\n`);
  return hash.digest('hex');
}

const ATTEMPTS = 3;
