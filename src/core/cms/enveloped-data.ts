import type { Certificate } from '../x509/certificate.ts';
import { contextConstructed, contextPrimitive, DerReader, malformed, readInteger, readSmallInteger, tags } from '../x509/der.ts';
import {
  constructed,
  encodeDer,
  explicit,
  nullValue,
  octetString,
  oid,
  primitive,
  raw,
  sequence,
  smallInteger,
} from '../x509/der-writer.ts';
import { type Name, readName } from '../x509/name.ts';
import { oids, readOid } from '../x509/oid.ts';
import { cmsLimits } from './cms-limits.ts';
import { enterContent } from './signed-data.ts';

/** The ciphers that are read; what is `old` hides nothing for long, and is for exceptions alone. */
export const contentCiphers = {
  'aes-128-cbc': { oid: oids.aes128Cbc, keyOctets: 16, ivOctets: 16, standing: 'good' },
  'aes-192-cbc': { oid: oids.aes192Cbc, keyOctets: 24, ivOctets: 16, standing: 'good' },
  'aes-256-cbc': { oid: oids.aes256Cbc, keyOctets: 32, ivOctets: 16, standing: 'good' },
  'des-ede3-cbc': { oid: oids.tripleDesCbc, keyOctets: 24, ivOctets: 8, standing: 'old' },
  'des-cbc': { oid: oids.desCbc, keyOctets: 8, ivOctets: 8, standing: 'old' },
} as const;
export type ContentCipher = keyof typeof contentCiphers;

/** The content key, encrypted to an RSA key that is named by its certificate. */
export type KeyTransport = {
  readonly issuer: Name;
  /** Content octets. */
  readonly serial: Uint8Array;
  /** Null: encrypted in another way than RSA PKCS#1 v1.5. */
  readonly encryptedKey: Uint8Array | null;
};

/** Data encrypted under a key that is encrypted to its recipients (RFC 5652 section 6). */
export type EnvelopedData = {
  readonly recipients: readonly KeyTransport[];
  /** Null: a cipher that is not taken. */
  readonly cipher: ContentCipher | null;
  readonly iv: Uint8Array;
  readonly ciphertext: Uint8Array;
};

/** Reads a ContentInfo that holds EnvelopedData for recipients by key transport. @throws der-malformed */
export function parseEnvelopedData(der: Uint8Array): EnvelopedData {
  const reader = DerReader.over(der, cmsLimits);
  const body = enterContent(reader, oids.cmsEnvelopedData).enter(tags.sequence);
  if (readSmallInteger(body) !== 0) throw malformed('version of EnvelopedData is not 0');
  const set = body.enter(tags.set);
  const recipients: KeyTransport[] = [];
  while (!set.done) {
    if (recipients.length === MAXIMUM_RECIPIENTS) throw malformed(`more than ${MAXIMUM_RECIPIENTS} recipients`);
    recipients.push(readRecipient(set.enter(tags.sequence)));
  }
  const info = body.enter(tags.sequence);
  body.finish();
  if (readOid(info) !== oids.cmsData) throw malformed('encrypted content that is no data');
  const { cipher, iv } = readCipher(info.enter(tags.sequence));
  const ciphertext = readCiphertext(info);
  info.finish();
  return { recipients, cipher, iv, ciphertext };
}

function readRecipient(info: DerReader): KeyTransport {
  if (readSmallInteger(info) !== 0) throw malformed('version of KeyTransRecipientInfo is not 0');
  const id = info.enter(tags.sequence);
  const issuer = readName(id);
  const serial = readInteger(id);
  id.finish();
  const isRsa = readOid(info.enter(tags.sequence)) === oids.rsaEncryption;
  const encryptedKey = info.content(tags.octetString);
  info.finish();
  return { issuer, serial, encryptedKey: isRsa ? encryptedKey : null };
}

function readCipher(identifier: DerReader): Pick<EnvelopedData, 'cipher' | 'iv'> {
  const type = readOid(identifier);
  const found = Object.entries(contentCiphers).find(([, { oid: id }]) => id === type);
  if (found === undefined) return { cipher: null, iv: new Uint8Array() };
  const iv = identifier.content(tags.octetString);
  identifier.finish();
  const { ivOctets } = found[1];
  if (iv.length !== ivOctets) throw malformed(`initialization vector of ${iv.length} octets, expected ${ivOctets}`);
  return { cipher: found[0] as ContentCipher, iv };
}

/** `[0] IMPLICIT OCTET STRING`. The libraries of Go write it in pieces, as BER allows; each of them has to be DER again. */
function readCiphertext(info: DerReader): Uint8Array {
  const pieces = info.enterOptional(contextConstructed(0));
  if (pieces === null) return info.content(contextPrimitive(0));
  const octets: Uint8Array[] = [];
  while (!pieces.done) octets.push(pieces.content(tags.octetString));
  return octets.length === 1 ? octets[0]! : Buffer.concat(octets);
}

/** The message for one recipient. */
export function assembleEnvelopedData({
  recipient,
  encryptedKey,
  cipher,
  iv,
  ciphertext,
}: {
  readonly recipient: Pick<Certificate, 'issuer' | 'serial'>;
  readonly encryptedKey: Uint8Array;
  readonly cipher: ContentCipher;
  readonly iv: Uint8Array;
  readonly ciphertext: Uint8Array;
}): Uint8Array {
  const recipientInfo = sequence(
    smallInteger(0),
    sequence(raw(recipient.issuer.der), primitive(tags.integer, recipient.serial)),
    sequence(oid(oids.rsaEncryption), nullValue()),
    octetString(encryptedKey),
  );
  const encrypted = sequence(
    oid(oids.cmsData),
    sequence(oid(contentCiphers[cipher].oid), octetString(iv)),
    primitive(contextPrimitive(0), ciphertext),
  );
  const envelopedData = sequence(smallInteger(0), constructed(tags.set, [recipientInfo]), encrypted);
  return encodeDer(sequence(oid(oids.cmsEnvelopedData), explicit(0, envelopedData)));
}

/** A message may be for several of our certificates; more is for others. */
const MAXIMUM_RECIPIENTS = 10;
