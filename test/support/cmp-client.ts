import { createHash, createHmac, type KeyObject, pbkdf2Sync, randomBytes, sign } from 'node:crypto';
import type { Certificate } from '../../src/core/x509/certificate.ts';
import { contextConstructed, contextPrimitive, DerReader, tags } from '../../src/core/x509/der.ts';
import {
  bitString,
  constructed,
  type DerNode,
  encodeDer,
  explicit,
  nullValue,
  octetString,
  oid,
  primitive,
  raw,
  sequence,
  smallInteger,
} from '../../src/core/x509/der-writer.ts';
import { subjectAltNameExtension } from '../../src/core/x509/build-certificate.ts';
import type { SubjectAltNames } from '../../src/core/x509/general-name.ts';
import { buildName, type Name } from '../../src/core/x509/name.ts';
import { readOid } from '../../src/core/x509/oid.ts';
import { algorithmIdentifier, signatureAlgorithmFor, signatureParameters } from '../../src/core/x509/signature-algorithm.ts';
import { generalizedTime } from '../../src/core/x509/x509-time.ts';

/** Numbers of the bodies, as RFC 9810 section 5.1.2 tags them. */
export const bodyNumbers = {
  ir: 0,
  ip: 1,
  cr: 2,
  cp: 3,
  p10cr: 4,
  kur: 7,
  kup: 8,
  rr: 11,
  rp: 12,
  pkiconf: 19,
  nested: 20,
  genm: 21,
  genp: 22,
  error: 23,
  certConf: 24,
  pollReq: 25,
  pollRep: 26,
} as const;
export type BodyName = keyof typeof bodyNumbers;

/** How a message of a client is protected; `mangle` breaks what it makes. */
export type ClientProtection =
  | { readonly kind: 'pbm' | 'pbmac1'; readonly reference: string; readonly secret: string }
  | { readonly kind: 'signature'; readonly certificate: Certificate; readonly key: KeyObject };

/** Whatever of a message is to be other than usual; null: absent. */
export type MessageOptions = {
  readonly version?: number;
  readonly at: number;
  readonly sender?: Name;
  readonly recipient?: Name;
  readonly messageTime?: number | null;
  readonly senderKeyId?: Uint8Array | null;
  readonly transactionId?: Uint8Array | null;
  readonly senderNonce?: Uint8Array | null;
  readonly recipientNonce?: Uint8Array;
  readonly info?: readonly DerNode[];
  readonly extraCertificates?: readonly Uint8Array[];
};

/** A whole message, made with nothing of the product but its DER writer. */
export function clientMessage(name: BodyName, content: DerNode, protection: ClientProtection | null, options: MessageOptions): Buffer {
  const algorithm = protection === null ? null : protectionAlgorithm(protection);
  const keyId = protection === null || protection.kind === 'signature' ? keyIdOf(protection) : Buffer.from(protection.reference);
  const { transactionId = randomBytes(16), senderNonce = randomBytes(16), messageTime = options.at, senderKeyId = keyId } = options;
  const subject = protection?.kind === 'signature' ? protection.certificate.subject : buildName([]);
  const header = sequence(
    smallInteger(options.version ?? 2),
    party(options.sender ?? subject),
    party(options.recipient ?? buildName([])),
    ...(messageTime === null ? [] : [explicit(0, generalizedTime(messageTime))]),
    ...(algorithm === null ? [] : [explicit(1, raw(algorithm))]),
    ...optional(2, senderKeyId),
    ...optional(4, transactionId),
    ...optional(5, senderNonce),
    ...optional(6, options.recipientNonce ?? null),
    ...(options.info === undefined ? [] : [explicit(8, sequence(...options.info))]),
  );
  const body = explicit(bodyNumbers[name], content);
  const beside = options.extraCertificates ?? (protection?.kind === 'signature' ? [protection.certificate.der] : []);
  return Buffer.from(
    encodeDer(
      sequence(
        header,
        body,
        ...(protection === null ? [] : [explicit(0, bitString(protect(protection, encodeDer(sequence(header, body)))))]),
        ...(beside.length === 0 ? [] : [explicit(1, sequence(...beside.map(raw)))]),
      ),
    ),
  );
}

function party(who: Name): DerNode {
  return constructed(contextConstructed(4), [raw(who.der)]);
}

function optional(number: number, value: Uint8Array | null): DerNode[] {
  return value === null ? [] : [explicit(number, octetString(value))];
}

function keyIdOf(protection: (ClientProtection & { readonly kind: 'signature' }) | null): Uint8Array | null {
  const id = protection?.certificate.subjectKeyId ?? null;
  return id === null ? null : Buffer.from(id, 'hex');
}

const SALT = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
const SHA256 = sequence(oid('2.16.840.1.101.3.4.2.1'), nullValue());
const HMAC_SHA256 = sequence(oid('1.2.840.113549.2.9'), nullValue());
const ITERATIONS = 600;

function protectionAlgorithm(protection: ClientProtection): Uint8Array {
  if (protection.kind === 'signature') return algorithmIdentifier(signatureAlgorithmFor(protection.key));
  if (protection.kind === 'pbm')
    return encodeDer(sequence(oid('1.2.840.113533.7.66.13'), sequence(octetString(SALT), SHA256, smallInteger(ITERATIONS), HMAC_SHA256)));
  const derivation = sequence(
    oid('1.2.840.113549.1.5.12'),
    sequence(octetString(SALT), smallInteger(ITERATIONS), smallInteger(32), HMAC_SHA256),
  );
  return encodeDer(sequence(oid('1.2.840.113549.1.5.14'), sequence(derivation, HMAC_SHA256)));
}

function protect(protection: ClientProtection, octets: Uint8Array): Uint8Array {
  if (protection.kind === 'signature') {
    const { hash, options } = signatureParameters(signatureAlgorithmFor(protection.key));
    return sign(hash, octets, { key: protection.key, ...options });
  }
  const secret = Buffer.from(protection.secret);
  let key = protection.kind === 'pbmac1' ? pbkdf2Sync(secret, SALT, ITERATIONS, 32, 'sha256') : Buffer.concat([secret, SALT]);
  if (protection.kind === 'pbm') for (let turn = 0; turn < ITERATIONS; turn++) key = createHash('sha256').update(key).digest();
  return createHmac('sha256', key).update(octets).digest();
}

/** Body of an ir, cr or kur for this key: one CertReqMsg, its proof signed by the key. */
export function requestBody(
  key: { readonly privateKey: KeyObject; readonly publicKey: KeyObject },
  options: {
    readonly names?: Partial<SubjectAltNames>;
    readonly requestId?: number;
    readonly fields?: readonly DerNode[];
    readonly controls?: readonly DerNode[];
    readonly proof?: DerNode | null;
  } = {},
): DerNode {
  const spki = DerReader.over(new Uint8Array(key.publicKey.export({ type: 'spki', format: 'der' })));
  const inner = spki.enter(tags.sequence).rest();
  const { names, requestId = 0, fields = [], controls = [] } = options;
  const template = sequence(
    constructed(contextConstructed(5), [raw(buildName([]).der)]),
    constructed(contextConstructed(6), [raw(inner)]),
    ...fields,
    ...(names === undefined ? [] : [constructed(contextConstructed(9), [subjectAltNameExtension(names, true)])]),
  );
  const request = sequence(smallInteger(requestId), template, ...(controls.length === 0 ? [] : [sequence(...controls)]));
  const algorithm = signatureAlgorithmFor(key.privateKey);
  const { hash, options: signing } = signatureParameters(algorithm);
  const signature = sign(hash, encodeDer(request), { key: key.privateKey, ...signing });
  const proof = options.proof ?? constructed(contextConstructed(1), [raw(algorithmIdentifier(algorithm)), bitString(signature)]);
  return sequence(sequence(request, ...(options.proof === null ? [] : [proof])));
}

/** Body of an rr for this certificate. */
export function revocationBody({ issuer, serial }: Certificate, reason: number | null): DerNode {
  const template = sequence(primitive(contextPrimitive(1), serial), constructed(contextConstructed(3), [raw(issuer.der)]));
  return sequence(sequence(template, ...(reason === null ? [] : [reasonNode(reason)])));
}

function reasonNode(code: number): DerNode {
  return sequence(sequence(oid('2.5.29.21'), octetString(encodeDer(smallInteger(code, tags.enumerated)))));
}

/** Body of a certConf: the hash of what was got, and what the device says of it. */
export function confirmationBody(
  der: Uint8Array,
  {
    requestId = 0,
    rejects = false,
    hash = 'sha256',
    named,
  }: { requestId?: number; rejects?: boolean; hash?: string; named?: DerNode } = {},
): DerNode {
  const status = rejects ? [sequence(smallInteger(2))] : [];
  return sequence(
    sequence(
      octetString(createHash(hash).update(der).digest()),
      smallInteger(requestId),
      ...status,
      ...(named === undefined ? [] : [explicit(0, named)]),
    ),
  );
}

/** What an answer says, read with nothing of the product but its DER reader. */
export type ClientAnswer = {
  readonly name: BodyName;
  readonly transactionId: Uint8Array;
  readonly senderNonce: Uint8Array;
  readonly recipientNonce: Uint8Array | null;
  readonly protectionAlgorithm: string;
  /** PKIStatus and the bits of PKIFailureInfo; null where the body has none. */
  readonly status: number | null;
  readonly failure: number | null;
  readonly certificate: Uint8Array | null;
  /** generalInfo, and the items of a genp: type and value. */
  readonly info: ReadonlyMap<string, Uint8Array | null>;
  readonly items: ReadonlyMap<string, Uint8Array | null>;
  readonly extraCertificates: readonly Uint8Array[];
  readonly body: Uint8Array;
};

export function readAnswer(octets: Uint8Array): ClientAnswer {
  const message = DerReader.over(octets).enter(tags.sequence);
  const header = message.enter(tags.sequence);
  header.element();
  header.element();
  header.element();
  const fields = new Map<number, DerReader>();
  while (!header.done) fields.set(header.nextTag & 0x1f, header.enter(header.nextTag));
  const number = message.nextTag & 0x1f;
  const name = (Object.keys(bodyNumbers) as BodyName[]).find((known) => bodyNumbers[known] === number)!;
  const body = message.enter(message.nextTag).element();
  message.enter(contextConstructed(0));
  const beside = message.enterOptional(contextConstructed(1));
  const extraCertificates = beside === null ? [] : elementsOf(beside.enter(tags.sequence));
  return {
    name,
    transactionId: fields.get(4)!.content(tags.octetString),
    senderNonce: fields.get(5)!.content(tags.octetString),
    recipientNonce: fields.get(6)?.content(tags.octetString) ?? null,
    protectionAlgorithm: readOid(fields.get(1)!.enter(tags.sequence)),
    ...readContent(name, DerReader.over(body)),
    info: fields.has(8) ? itemsOf(fields.get(8)!.enter(tags.sequence)) : new Map(),
    items: name === 'genp' ? itemsOf(DerReader.over(body).enter(tags.sequence)) : new Map(),
    extraCertificates,
    body,
  };
}

type Content = Pick<ClientAnswer, 'status' | 'failure' | 'certificate'>;

function readContent(name: BodyName, reader: DerReader): Content {
  const nothing = { status: null, failure: null, certificate: null };
  if (name === 'error') return { ...nothing, ...readStatus(reader.enter(tags.sequence)) };
  if (name === 'rp') return { ...nothing, ...readStatus(reader.enter(tags.sequence).enter(tags.sequence)) };
  if (name !== 'ip' && name !== 'cp' && name !== 'kup') return nothing;
  const body = reader.enter(tags.sequence);
  if (body.nextTag === contextConstructed(1)) body.element();
  const response = body.enter(tags.sequence).enter(tags.sequence);
  response.element(tags.integer);
  const status = readStatus(response);
  const certificate = response.done ? null : response.enter(tags.sequence).enter(contextConstructed(0)).element();
  return { ...status, certificate };
}

function readStatus(reader: DerReader): { readonly status: number; readonly failure: number | null } {
  const info = reader.enter(tags.sequence);
  const status = info.content(tags.integer)[0]!;
  const bits = info.nextTag === tags.bitString ? info.content(tags.bitString) : null;
  if (bits === null) return { status, failure: null };
  const set = [...bits.subarray(1)].flatMap((octet, at) =>
    [...Array(8).keys()].filter((bit) => octet & (0x80 >> bit)).map((bit) => at * 8 + bit),
  );
  return { status, failure: set[0]! };
}

function elementsOf(list: DerReader): Uint8Array[] {
  const found: Uint8Array[] = [];
  while (!list.done) found.push(list.element());
  return found;
}

function itemsOf(list: DerReader): Map<string, Uint8Array | null> {
  const items = new Map<string, Uint8Array | null>();
  while (!list.done) {
    const item = list.enter(tags.sequence);
    items.set(readOid(item), item.done ? null : item.element());
  }
  return items;
}
