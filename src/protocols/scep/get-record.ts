import { type CertificateRecord, findCertificate } from '../../control/ca/certificate-store.ts';
import { findCrl } from '../../control/ca/crl-store.ts';
import { findWithdrawn } from '../../control/ca/standing.ts';
import type { Instant } from '../../core/time/instant.ts';
import { DerReader, equalOctets, readInteger, tags } from '../../core/x509/der.ts';
import { type Name, readName } from '../../core/x509/name.ts';
import type { Outcome } from './cert-rep.ts';
import type { ScepDeps } from './deps.ts';
import { notOpened, openMessage, type OpenedMessage, readOpened } from './open-message.ts';
import type { PkiMessage } from './pki-message.ts';
import { ScepRefusal } from './problems.ts';

/** A certificate by issuer and serial number (RFC 8894 section 3.3.4), for who has one of ours: which names there are is nobody else's. */
export async function getCertificate(deps: ScepDeps, message: PkiMessage, now: Instant): Promise<Outcome> {
  const { sender } = message;
  const own = await find(deps, { issuer: sender.issuer, serial: sender.serial });
  if (own?.der == null || !equalOctets(own.der, sender.der)) throw new ScepRefusal('badRequest', 'the signer has no certificate of ours');
  const withdrawn = await findWithdrawn(deps.database.queries, own, now);
  if (withdrawn.length > 0) throw new ScepRefusal('badRequest', `the signer: ${withdrawn.join('; ')}`);
  // Opened only now, and what it names and is not here refused as what does not open: else a changed envelope of another would be told from one that opens.
  const opened = openMessage(deps, message, now);
  const record = await find(deps, readIssuerAndSerial(opened));
  if (record?.der == null || record.status !== 'issued') throw notOpened('no such certificate');
  return { kind: 'issued', certificates: [record.der], cipher: opened.cipher };
}

/** The list on which a certificate would be (RFC 8894 section 3.3.5), which is public anyway. */
export async function getCertificateList(deps: ScepDeps, message: PkiMessage, now: Instant): Promise<Outcome> {
  const opened = openMessage(deps, message, now);
  const record = await find(deps, readIssuerAndSerial(opened));
  const list = record === null ? null : await findCrl(deps.database.queries, record.issuerId, record.crlShard);
  if (list?.built == null) throw notOpened('no such certificate, or no list of it');
  return { kind: 'issued', certificates: [], lists: [list.built.der], cipher: opened.cipher };
}

type CertificateName = { readonly issuer: Name; readonly serial: Uint8Array };

async function find({ database, authorities }: ScepDeps, { issuer, serial }: CertificateName): Promise<CertificateRecord | null> {
  for (const authority of authorities.issuing.filter(({ certificate }) => equalOctets(certificate.subject.der, issuer.der))) {
    const record = await findCertificate(database.queries, authority.keySha256, serial);
    if (record !== null) return record;
  }
  return null;
}

function readIssuerAndSerial({ content }: OpenedMessage): CertificateName {
  return readOpened(() => {
    const reader = DerReader.over(content);
    const body = reader.enter(tags.sequence);
    reader.finish();
    const name = { issuer: readName(body), serial: readInteger(body) };
    body.finish();
    return name;
  });
}
