import type { Instant } from '../time/instant.ts';
import { contextConstructed, contextPrimitive, tags } from './der.ts';
import {
  bitString,
  boolean,
  constructed,
  type DerNode,
  encodeDer,
  explicit,
  namedBits,
  octetString,
  octetStringAround,
  oid,
  primitive,
  raw,
  sequence,
  smallInteger,
  unsignedInteger,
} from './der-writer.ts';
import { type BasicConstraints, type Extension, type KeyUsageBit, keyUsageBits } from './extensions.ts';
import { generalNamesNode, type SubjectAltNames, uriNode } from './general-name.ts';
import { isEmptyName, type Name } from './name.ts';
import { type NameConstraints, nameConstraintsNode } from './name-constraints.ts';
import { oids } from './oid.ts';
import { algorithmIdentifier, type SignatureAlgorithm } from './signature-algorithm.ts';
import { time } from './x509-time.ts';

/** Everything that a certificate of this house says; an absent field is an absent extension. */
export type TbsFields = {
  /** Magnitude of the serial, unsigned big-endian. */
  readonly serial: Uint8Array;
  readonly signatureAlgorithm: SignatureAlgorithm;
  /** Octet for octet the subject of the issuing certificate. */
  readonly issuer: Name;
  readonly subject: Name;
  readonly notBefore: Instant;
  readonly notAfter: Instant;
  /** DER of SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  readonly basicConstraints: BasicConstraints;
  readonly keyUsage: readonly KeyUsageBit[];
  /** Purposes as dotted identifiers; empty on roots. */
  readonly extendedKeyUsage: readonly string[];
  readonly subjectAltNames?: Partial<SubjectAltNames>;
  readonly authorityKeyId?: Uint8Array;
  readonly subjectKeyId?: Uint8Array;
  readonly nameConstraints?: NameConstraints;
  readonly crlUri?: string;
  /** http URI of the issuer's certificate (RFC 5280 section 4.2.2.1). */
  readonly issuerUri?: string;
  /** http URI of the OCSP responder (RFC 5280 section 4.2.2.1). */
  readonly ocspUri?: string;
  /** RFC 6960 section 4.2.2.2.1: nobody asks whether this responder is revoked. */
  readonly ocspNoCheck?: boolean;
  /** RFC 9608: no revocation information will ever exist. */
  readonly noRevAvail?: boolean;
  /** Written after the others, as they are. */
  readonly furtherExtensions?: readonly Extension[];
};

/** Writes the TBSCertificate (RFC 5280 section 4.1): always version 3, criticality as the profile of that RFC demands. */
export function buildTbsCertificate(fields: TbsFields): Uint8Array {
  return encodeDer(
    sequence(
      VERSION_3,
      unsignedInteger(fields.serial),
      raw(algorithmIdentifier(fields.signatureAlgorithm)),
      raw(fields.issuer.der),
      sequence(time(fields.notBefore), time(fields.notAfter)),
      raw(fields.subject.der),
      raw(fields.spki),
      explicit(3, constructed(tags.sequence, extensionNodes(fields))),
    ),
  );
}

/** Joins the signed octets with their signature. */
export function assembleCertificate(tbs: Uint8Array, algorithm: SignatureAlgorithm, signature: Uint8Array): Uint8Array {
  return encodeDer(sequence(raw(tbs), raw(algorithmIdentifier(algorithm)), bitString(signature)));
}

function extensionNodes(fields: TbsFields): DerNode[] {
  const nodes: DerNode[] = [];
  if (fields.authorityKeyId) {
    nodes.push(extensionNode(oids.authorityKeyIdentifier, false, sequence(primitive(contextPrimitive(0), fields.authorityKeyId))));
  }
  if (fields.subjectKeyId) nodes.push(extensionNode(oids.subjectKeyIdentifier, false, octetString(fields.subjectKeyId)));
  if (fields.keyUsage.length > 0) {
    nodes.push(extensionNode(oids.keyUsage, true, namedBits(fields.keyUsage.map((usage) => keyUsageBits.indexOf(usage)))));
  }
  nodes.push(extensionNode(oids.basicConstraints, true, basicConstraintsNode(fields.basicConstraints)));
  if (fields.extendedKeyUsage.length > 0) {
    nodes.push(extensionNode(oids.extendedKeyUsage, false, sequence(...fields.extendedKeyUsage.map(oid))));
  }
  if (fields.subjectAltNames) {
    // RFC 5280 section 4.2.1.6: the only name of the subject has to be understood.
    nodes.push(subjectAltNameExtension(fields.subjectAltNames, isEmptyName(fields.subject)));
  }
  if (fields.nameConstraints) nodes.push(extensionNode(oids.nameConstraints, true, nameConstraintsNode(fields.nameConstraints)));
  if (fields.crlUri !== undefined)
    nodes.push(extensionNode(oids.crlDistributionPoints, false, sequence(distributionPointNode(fields.crlUri))));
  const { ocspUri, issuerUri } = fields;
  const accesses = [
    ...(ocspUri === undefined ? [] : [sequence(oid(oids.ocspAccess), uriNode(ocspUri))]),
    ...(issuerUri === undefined ? [] : [sequence(oid(oids.caIssuers), uriNode(issuerUri))]),
  ];
  if (accesses.length > 0) nodes.push(extensionNode(oids.authorityInfoAccess, false, sequence(...accesses)));
  if (fields.ocspNoCheck === true) nodes.push(extensionNode(oids.ocspNoCheck, false, primitive(tags.null, '')));
  if (fields.noRevAvail === true) nodes.push(extensionNode(oids.noRevAvail, false, primitive(tags.null, '')));
  for (const extension of fields.furtherExtensions ?? [])
    nodes.push(extensionNode(extension.oid, extension.critical, raw(extension.value)));
  return nodes;
}

/** `Extension ::= SEQUENCE { extnID, critical DEFAULT FALSE, extnValue OCTET STRING }`. */
export function extensionNode(id: string, critical: boolean, value: DerNode): DerNode {
  return critical ? sequence(oid(id), TRUE, octetStringAround(value)) : sequence(oid(id), octetStringAround(value));
}

export function subjectAltNameExtension(names: Partial<SubjectAltNames>, critical: boolean): DerNode {
  return extensionNode(oids.subjectAltName, critical, generalNamesNode(names));
}

function basicConstraintsNode({ ca, pathLength }: BasicConstraints): DerNode {
  if (!ca) return sequence();
  return pathLength === null ? sequence(TRUE) : sequence(TRUE, smallInteger(pathLength));
}

/** `DistributionPoint` with a fullName of one URI (RFC 5280 section 4.2.1.13). */
function distributionPointNode(uri: string): DerNode {
  return sequence(distributionPointNameNode(uri));
}

/** `[0] DistributionPointName` with `[0] fullName`, octet-equal in certificates and in the list's own IDP extension. */
export function distributionPointNameNode(uri: string): DerNode {
  return constructed(contextConstructed(0), [constructed(contextConstructed(0), [uriNode(uri)])]);
}

const VERSION_3 = explicit(0, smallInteger(2));
const TRUE = boolean(true);
