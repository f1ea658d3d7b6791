import { createPrivateKey, generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import type { AuditedDatabase } from '../../control/audit/entry.ts';
import type { Authorities } from '../../control/ca/authorities.ts';
import { findCertificateOfKey } from '../../control/ca/certificate-of-key.ts';
import { issueCertificate } from '../../control/ca/issue-certificate.ts';
import { findKey, insertKey, type KeyRecord } from '../../control/ca/key-store.ts';
import { Secret } from '../../core/secrets/secret.ts';
import { DAY_MS, type Instant } from '../../core/time/instant.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { buildName } from '../../core/x509/name.ts';
import { oids } from '../../core/x509/oid.ts';
import { sha256Hex } from '../../core/x509/public-key.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import type { KeyEncryptionKey } from '../../platform/signer/key-encryption-key.ts';
import { type KeyUse, openKey, sealKey } from '../../platform/signer/key-envelope.ts';
import { makeTransportKey, type TransportKey } from '../../platform/signer/transport-key.ts';

/** Who takes the messages of SCEP: an RSA key, since SCEP encrypts to no other, under a certificate of ours (RFC 8894 section 2.1.2). */
export type RegistrationAuthority = { readonly certificate: Certificate; readonly key: TransportKey };

type Deps = { readonly database: AuditedDatabase; readonly authorities: Authorities; readonly kek: KeyEncryptionKey };
type Place = { readonly environment: string; readonly region: string };

/** Opens the stored key, or makes it at the first start, and has it certified where it has no certificate that is good for long enough. @throws key-locked, issuance-refused */
export async function ensureRegistrationAuthority(deps: Deps, place: Place, now: Instant): Promise<RegistrationAuthority> {
  const { database, kek } = deps;
  const record = (await findKey(database.queries, SCEP_USE.ownerId, SCEP_USE.purpose)) ?? (await makeKey(deps, place, now));
  const privateKeyDer = openKey(kek, SCEP_USE, record.envelope);
  const key = makeTransportKey(privateKeyDer);
  const held = await findCertificateOfKey(database.queries, sha256Hex(record.spki), 'scep-ra');
  const isGood = held?.der != null && held.revokedAt === null && held.notAfter - now > RENEW_BEFORE_MS;
  const der = isGood ? held.der! : await certify(deps, { place, privateKeyDer }, now);
  return { certificate: parseCertificate(new Uint8Array(der)), key };
}

async function makeKey({ database, kek }: Deps, place: Place, now: Instant): Promise<KeyRecord> {
  const { privateKey, publicKey } = await promisify(generateKeyPair)('rsa', { modulusLength: RSA_BITS });
  const made: KeyRecord = {
    id: newEntityId('key', now),
    ...SCEP_USE,
    ...place,
    spki: publicKey.export({ type: 'spki', format: 'der' }),
    envelope: sealKey(kek, SCEP_USE, new Secret<Uint8Array>(privateKey.export({ type: 'pkcs8', format: 'der' }))),
    createdAt: now,
  };
  // Two replicas may start at once: the first one's key is everybody's.
  return database.commit(async (unit) => {
    const other = await findKey(unit.queries, SCEP_USE.ownerId, SCEP_USE.purpose);
    if (other === null) await insertKey(unit.queries, made);
    return other ?? made;
  });
}

async function certify(
  deps: Deps,
  { place, privateKeyDer }: { readonly place: Place; readonly privateKeyDer: Secret<Uint8Array> },
  now: Instant,
): Promise<Uint8Array> {
  const privateKey = createPrivateKey({ key: Buffer.from(privateKeyDer.reveal()), type: 'pkcs8', format: 'der' });
  const csr = parseCertificateRequest(buildCertificateRequest({}, privateKey));
  const { der } = await issueCertificate(
    deps,
    {
      door: 'control-plane',
      profile: 'scep-ra',
      asker: { role: 'control-plane', scope: '*', spiffeId: null },
      actor: { kind: 'system', name: 'scep' },
      csr,
      spiffeId: null,
      names: { dns: [], ip: [] },
      proxyId: null,
      ...place,
      distinguishedName: buildName([[oids.commonName, `Countersign SCEP ${csr.spkiSha256.slice(0, 12)}`]]),
    },
    now,
  );
  return der;
}

/** There is one for all of SCEP here. */
const SCEP_USE = { ownerId: 'scep', purpose: 'scep' } as const satisfies KeyUse;
const RSA_BITS = 3_072;
/** Devices hold what GetCACert said for a while. */
const RENEW_BEFORE_MS = 90 * DAY_MS;
