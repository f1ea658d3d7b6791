import type { EntityId } from '../../core/ids/entity-id.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { oids } from '../../core/x509/oid.ts';
import { decodePem } from '../../core/x509/pem.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Actor, AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { findCertificate } from '../ca/certificate-store.ts';
import { type AcceptedChain, verifyChain } from './accept-chain.ts';
import type { ForeignKey } from './external-order.ts';
import { isOurAuthority, recordForeignCertificate } from './record-certificate.ts';

export type CertificateImport = {
  readonly environment: string;
  readonly region: string;
  /** Leaf first; no key among it. */
  readonly chainPem: string;
  /** PEM; null: the public roots that Node carries. */
  readonly rootsPem: string | null;
  readonly endpointId: EntityId<'endpoint'> | null;
};

/**
 * Takes a certificate of another CA into the inventory, to be watched. It must be valid now, so that nothing is watched whose issuer nobody knows.
 * @throws input-invalid, der-malformed, state-conflict if it is there already or of an authority of ours
 */
export async function importCertificate(
  deps: { readonly database: AuditedDatabase; readonly changed: Signal },
  request: CertificateImport,
  actor: Actor,
  now: Instant,
): Promise<ForeignKey & { readonly serialHex: string }> {
  const { environment, region, endpointId } = request;
  const accepted = readChain(request, now);
  const { leaf, issuer } = accepted;
  const issuerId = await deps.database.commit(async (unit) => {
    if (await isOurAuthority(unit.queries, issuer.spkiSha256))
      throw conflict('it was issued by an authority of ours, expected one of another CA');
    if ((await findCertificate(unit.queries, issuer.spkiSha256, leaf.serial)) !== null) throw conflict('it is in the inventory already');
    const found = {
      ...accepted,
      door: 'import',
      asker: actor.name,
      askerRole: null,
      profile: 'server',
      environment,
      region,
      authorityId: null,
      endpointId,
    } as const;
    const id = await recordForeignCertificate(unit.queries, found, now);
    const { serialHex: serial, spkiSha256, subjectAltNames, notAfter } = leaf;
    const names = [...subjectAltNames.dns, ...subjectAltNames.ip].slice(0, MAXIMUM_LOGGED).map((name) => name.slice(0, 300));
    const data = { issuerId: id, issuerKeySha256: issuer.spkiSha256, serial, names, spkiSha256, notAfter, endpointId };
    recordEntry(unit, { type: 'external-certificate.imported', at: now, environment, region, actor, data });
    return id;
  });
  deps.changed.notify();
  return { issuerId, serial: leaf.serial, serialHex: leaf.serialHex };
}

function readChain({ chainPem, rootsPem }: CertificateImport, now: Instant): AcceptedChain {
  if (/PRIVATE KEY-----/.test(chainPem))
    throw invalid('the file holds a private key, which stays where it is used; expected certificates alone');
  const chain: readonly Certificate[] = decodePem(chainPem, 'CERTIFICATE').map((der) => parseCertificate(der));
  if (chain.length === 0 || chain.length > MAXIMUM_CHAIN)
    throw invalid(`${chain.length} certificates, expected 1 to ${MAXIMUM_CHAIN} as PEM`);
  const verdict = verifyChain(chain, { rootsPem, usage: isForClientsAlone(chain[0]!) ? 'client' : 'server' }, now);
  if (verdict.kind === 'refused') throw invalid(`${verdict.detail}; expected a path to a root`);
  return verdict;
}

/** Such as third parties give to those who call them. */
function isForClientsAlone({ extendedKeyUsage: purposes }: Certificate): boolean {
  return (
    purposes?.includes(oids.clientAuth) === true && !purposes.some((one) => one === oids.serverAuth || one === oids.anyExtendedKeyUsage)
  );
}

function invalid(what: string): Problem {
  return new Problem('input-invalid', `Cannot import certificate: ${what}`);
}

function conflict(what: string): Problem {
  return new Problem('state-conflict', `Cannot import certificate: ${what}`);
}

const MAXIMUM_CHAIN = 10;
const MAXIMUM_LOGGED = 100;
