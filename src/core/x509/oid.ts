import { malformed, type DerReader, tags } from './der.ts';

/** The object identifiers that this house knows by name. */
export const oids = {
  // RFC 5280 section 4.2: extensions
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  issuerAltName: '2.5.29.18',
  basicConstraints: '2.5.29.19',
  crlNumber: '2.5.29.20',
  reasonCode: '2.5.29.21',
  invalidityDate: '2.5.29.24',
  deltaCrlIndicator: '2.5.29.27',
  issuingDistributionPoint: '2.5.29.28',
  certificateIssuer: '2.5.29.29',
  nameConstraints: '2.5.29.30',
  crlDistributionPoints: '2.5.29.31',
  certificatePolicies: '2.5.29.32',
  anyPolicy: '2.5.29.32.0',
  policyMappings: '2.5.29.33',
  authorityKeyIdentifier: '2.5.29.35',
  policyConstraints: '2.5.29.36',
  extendedKeyUsage: '2.5.29.37',
  anyExtendedKeyUsage: '2.5.29.37.0',
  freshestCrl: '2.5.29.46',
  inhibitAnyPolicy: '2.5.29.54',
  noRevAvail: '2.5.29.56',
  tlsFeature: '1.3.6.1.5.5.7.1.24',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  subjectInfoAccess: '1.3.6.1.5.5.7.1.11',
  // RFC 5280 section 4.2.1.12: purposes
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  codeSigning: '1.3.6.1.5.5.7.3.3',
  emailProtection: '1.3.6.1.5.5.7.3.4',
  timeStamping: '1.3.6.1.5.5.7.3.8',
  ocspSigning: '1.3.6.1.5.5.7.3.9',
  /** RFC 6402 section 2.10: speaks for a CA under a key that is not the CA's own. */
  cmcCa: '1.3.6.1.5.5.7.3.27',
  /** The same: takes messages for a CA. */
  cmcRa: '1.3.6.1.5.5.7.3.28',
  // OCSP (RFC 6960 section 4, RFC 9654)
  ocspAccess: '1.3.6.1.5.5.7.48.1',
  caIssuers: '1.3.6.1.5.5.7.48.2',
  ocspBasic: '1.3.6.1.5.5.7.48.1.1',
  ocspNonce: '1.3.6.1.5.5.7.48.1.2',
  ocspAcceptableResponses: '1.3.6.1.5.5.7.48.1.4',
  ocspNoCheck: '1.3.6.1.5.5.7.48.1.5',
  ocspExtendedRevoke: '1.3.6.1.5.5.7.48.1.9',
  // names
  commonName: '2.5.4.3',
  serialNumber: '2.5.4.5',
  country: '2.5.4.6',
  locality: '2.5.4.7',
  state: '2.5.4.8',
  street: '2.5.4.9',
  organization: '2.5.4.10',
  organizationalUnit: '2.5.4.11',
  domainComponent: '0.9.2342.19200300.100.1.25',
  userId: '0.9.2342.19200300.100.1.1',
  emailAddress: '1.2.840.113549.1.9.1',
  // PKCS#9 (RFC 2985)
  challengePassword: '1.2.840.113549.1.9.7',
  extensionRequest: '1.2.840.113549.1.9.14',
  // CMS (RFC 5652) and attributes of requests (RFC 7030 section 4.4.1, RFC 9908 section 3.4)
  cmsData: '1.2.840.113549.1.7.1',
  cmsSignedData: '1.2.840.113549.1.7.2',
  cmsEnvelopedData: '1.2.840.113549.1.7.3',
  contentType: '1.2.840.113549.1.9.3',
  messageDigest: '1.2.840.113549.1.9.4',
  desCbc: '1.3.14.3.2.7',
  tripleDesCbc: '1.2.840.113549.3.7',
  aes128Cbc: '2.16.840.1.101.3.4.1.2',
  aes192Cbc: '2.16.840.1.101.3.4.1.22',
  aes256Cbc: '2.16.840.1.101.3.4.1.42',
  decryptKeyId: '1.2.840.113549.1.9.16.2.37',
  asymmetricDecryptKeyId: '1.2.840.113549.1.9.16.2.54',
  requestTemplate: '1.2.840.113549.1.9.16.2.61',
  extensionTemplate: '1.2.840.113549.1.9.16.2.62',
  // SCEP (RFC 8894 section 3.2.1)
  scepMessageType: '2.16.840.1.113733.1.9.2',
  scepPkiStatus: '2.16.840.1.113733.1.9.3',
  scepFailInfo: '2.16.840.1.113733.1.9.4',
  scepSenderNonce: '2.16.840.1.113733.1.9.5',
  scepRecipientNonce: '2.16.840.1.113733.1.9.6',
  scepTransactionId: '2.16.840.1.113733.1.9.7',
  // keys and signatures (RFC 3279, 4055, 5480, 5758, 8410)
  rsaEncryption: '1.2.840.113549.1.1.1',
  rsaPss: '1.2.840.113549.1.1.10',
  mgf1: '1.2.840.113549.1.1.8',
  sha1WithRsa: '1.2.840.113549.1.1.5',
  sha256WithRsa: '1.2.840.113549.1.1.11',
  sha384WithRsa: '1.2.840.113549.1.1.12',
  sha512WithRsa: '1.2.840.113549.1.1.13',
  ecPublicKey: '1.2.840.10045.2.1',
  p256: '1.2.840.10045.3.1.7',
  p384: '1.3.132.0.34',
  p521: '1.3.132.0.35',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  ecdsaWithSha384: '1.2.840.10045.4.3.3',
  ecdsaWithSha512: '1.2.840.10045.4.3.4',
  ed25519: '1.3.101.112',
  ed448: '1.3.101.113',
  mlDsa44: '2.16.840.1.101.3.4.3.17',
  mlDsa65: '2.16.840.1.101.3.4.3.18',
  mlDsa87: '2.16.840.1.101.3.4.3.19',
  mlKem512: '2.16.840.1.101.3.4.4.1',
  mlKem768: '2.16.840.1.101.3.4.4.2',
  mlKem1024: '2.16.840.1.101.3.4.4.3',
  /** RFC 9925: no signature at all. */
  unsigned: '1.3.6.1.5.5.7.6.36',
  sha1: '1.3.14.3.2.26',
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
  sha512: '2.16.840.1.101.3.4.2.3',
} as const;

/** Reads an OBJECT IDENTIFIER as dotted text. @throws der-malformed */
export function readOid(reader: DerReader, tag: number = tags.oid): string {
  return oidText(reader.content(tag));
}

/** The dotted text of content octets; each arc minimal (X.690 section 8.19), none longer than one made of a UUID (X.667). @throws der-malformed */
export function oidText(content: Uint8Array): string {
  if (content.length === 0 || content.length > MAX_OID_OCTETS) throw malformed(`object identifier of ${content.length} octets`);
  let text = '';
  let arc = 0;
  let start = 0;
  for (let at = 0; at < content.length; at++) {
    const octet = content[at]!;
    if (at === start && octet === 0x80) throw malformed('object identifier not minimal');
    arc = arc * 128 + (octet & 0x7f);
    if (octet >= 0x80) continue;
    const exact = arc <= Number.MAX_SAFE_INTEGER ? arc : wideArc(content.subarray(start, at + 1));
    if (text !== '') text += `.${exact}`;
    else text = arc < 80 ? `${Math.floor(arc / 40)}.${arc % 40}` : `2.${typeof exact === 'bigint' ? exact - 80n : exact - 80}`;
    arc = 0;
    start = at + 1;
  }
  if (start !== content.length) throw malformed('object identifier cut');
  return text;
}

/** An arc beyond what a number holds exactly. */
function wideArc(octets: Uint8Array): bigint {
  let arc = 0n;
  for (const octet of octets) arc = arc * 128n + BigInt(octet & 0x7f);
  if (arc > MAX_ARC) throw malformed('object identifier arc too large');
  return arc;
}

/** The whole DER element of a dotted identifier, kept once for all; `dotted` comes from this program, not from outside. */
export function encodeOid(dotted: string): Uint8Array {
  const kept = encodings.get(dotted);
  if (kept) return kept;
  const [first = 0, second = 0, ...others] = dotted.split('.').map(Number);
  const content: number[] = [];
  for (const arc of [first * 40 + second, ...others]) {
    const groups = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) groups.unshift(0x80 | (left % 128));
    content.push(...groups);
  }
  const encoding = Uint8Array.of(tags.oid, content.length, ...content);
  if (encodings.size < MAX_KEPT) encodings.set(dotted, encoding);
  return encoding;
}

const encodings = new Map<string, Uint8Array>();
const MAX_KEPT = 512;
const MAX_OID_OCTETS = 64;
const MAX_ARC = 2n ** 128n + 80n;
