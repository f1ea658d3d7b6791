import { parseSignedData, type SignedData, verifySignedData } from '../../core/cms/signed-data.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { DerReader, equalOctets, malformed, tags } from '../../core/x509/der.ts';
import { oids } from '../../core/x509/oid.ts';
import { isUsableKey, openPublicKey } from '../../core/x509/public-key.ts';

/** The messages of clients (RFC 8894 section 3.2.1.2). */
export const messageTypes = { '17': 'RenewalReq', '19': 'PKCSReq', '20': 'CertPoll', '21': 'GetCert', '22': 'GetCRL' } as const;
export type MessageType = (typeof messageTypes)[keyof typeof messageTypes];

/** A pkiMessage as it was sent (RFC 8894 section 3.2); whether its signature verifies is asked by `isSignedBySender`. */
export type PkiMessage = {
  readonly signed: SignedData;
  /** Whoever signed: a self-signed certificate of the new key, or the one that is to be renewed. */
  readonly sender: Certificate;
  readonly transactionId: string;
  /** Null: one that no client sends. */
  readonly type: MessageType | null;
  readonly senderNonce: Uint8Array;
};

/** @throws der-malformed if it has not the form, or not what an answer needs */
export function parsePkiMessage(der: Uint8Array): PkiMessage {
  const signed = parseSignedData(der);
  const sender = signed.certificates
    .map((certificate) => parseCertificate(certificate))
    .find((certificate) => isSender(certificate, signed));
  if (sender === undefined) throw malformed('no certificate of the signer');
  const type = printable(signed, oids.scepMessageType, 2);
  return {
    signed,
    sender,
    transactionId: printable(signed, oids.scepTransactionId, MAXIMUM_TRANSACTION_ID),
    type: Object.hasOwn(messageTypes, type) ? messageTypes[type as keyof typeof messageTypes] : null,
    senderNonce: octets(signed, oids.scepSenderNonce),
  };
}

/** False, too, for keys and digests that are not taken: RSA below 2048 bits, MD5, and SHA-1 but for an exception. */
export function isSignedBySender({ signed, sender }: PkiMessage, exception: 'none' | 'sha1'): boolean {
  return isUsableKey(sender.publicKey) && verifySignedData(signed, openPublicKey(sender.spki), exception);
}

function isSender({ issuer, serial }: Certificate, signed: SignedData): boolean {
  return equalOctets(issuer.der, signed.issuer.der) && equalOctets(serial, signed.serial);
}

function printable(signed: SignedData, type: string, maximum: number): string {
  const text = Buffer.from(valueOf(signed, type, tags.printableString)).toString('latin1');
  if (!PRINTABLE.test(text) || text.length > maximum)
    throw malformed(`attribute ${type} is no text of 1 to ${maximum} printable characters`);
  return text;
}

function octets(signed: SignedData, type: string): Uint8Array {
  const value = valueOf(signed, type, tags.octetString);
  if (value.length === 0 || value.length > MAXIMUM_NONCE) throw malformed(`attribute ${type} of ${value.length} octets`);
  return value;
}

function valueOf({ attributes }: SignedData, type: string, tag: number): Uint8Array {
  const element = attributes.get(type);
  if (element === undefined) throw malformed(`no attribute ${type}`);
  const reader = DerReader.over(element);
  const value = reader.content(tag);
  reader.finish();
  return value;
}

/** PrintableString (X.680 section 41.4). */
const PRINTABLE = /^[A-Za-z0-9 '()+,./:=?-]+$/;
/** A hash in whatever spelling; RFC 8894 section 3.2.1.1 names no bound. */
const MAXIMUM_TRANSACTION_ID = 128;
/** RFC 8894 section 3.2.1.5: 16. */
const MAXIMUM_NONCE = 64;
