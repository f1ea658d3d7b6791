import type { Instant } from '../time/instant.ts';
import { distributionPointNameNode, extensionNode } from './build-certificate.ts';
import { type CrlReason, crlReasons } from './certificate-list.ts';
import { contextPrimitive, tags } from './der.ts';
import {
  bitString,
  constructed,
  type DerNode,
  encodeDer,
  explicit,
  primitive,
  raw,
  sequence,
  smallInteger,
  unsignedInteger,
} from './der-writer.ts';
import type { Name } from './name.ts';
import { oids } from './oid.ts';
import { algorithmIdentifier, type SignatureAlgorithm } from './signature-algorithm.ts';
import { time } from './x509-time.ts';

/** One revoked certificate. */
export type RevokedEntry = {
  /** Content octets of the serial INTEGER, as they stand in the certificate. */
  readonly serial: Uint8Array;
  readonly revokedAt: Instant;
  readonly reason: CrlReason;
};

export type TbsListFields = {
  readonly signatureAlgorithm: SignatureAlgorithm;
  /** Octet for octet the subject of the authority. */
  readonly issuer: Name;
  readonly thisUpdate: Instant;
  readonly nextUpdate: Instant;
  readonly entries: readonly RevokedEntry[];
  /** Entries that stand before `entries`, encoded already (`merge-list-entries.ts`). */
  readonly encodedEntries?: Uint8Array;
  /** Key identifier of the authority. */
  readonly authorityKeyId: Uint8Array;
  /** Magnitude of the number, unsigned big-endian; strictly increasing. */
  readonly crlNumber: Uint8Array;
  /** The URI of the certificates' own distribution point; absent: the list covers all of the authority's certificates. */
  readonly distributionUri?: string;
  /** Where the delta that belongs to this complete list is found (RFC 5280 section 5.2.6). */
  readonly freshestUri?: string;
  /** Number of the complete list that this delta builds on (RFC 5280 section 5.2.4). */
  readonly deltaBase?: Uint8Array;
};

/** Writes the TBSCertList (RFC 5280 section 5.1): version 2, no empty list of entries, no reason code for unspecified. */
export function buildTbsCertificateList(fields: TbsListFields): Uint8Array {
  const { entries, encodedEntries } = fields;
  const list = constructed(tags.sequence, [...(encodedEntries === undefined ? [] : [raw(encodedEntries)]), ...entries.map(entryNode)]);
  return encodeDer(
    sequence(
      VERSION_2,
      raw(algorithmIdentifier(fields.signatureAlgorithm)),
      raw(fields.issuer.der),
      time(fields.thisUpdate),
      time(fields.nextUpdate),
      ...(list.contentLength === 0 ? [] : [list]),
      explicit(0, constructed(tags.sequence, extensionNodes(fields))),
    ),
  );
}

/** Joins the signed octets with their signature. */
export function assembleCertificateList(tbs: Uint8Array, algorithm: SignatureAlgorithm, signature: Uint8Array): Uint8Array {
  return encodeDer(sequence(raw(tbs), raw(algorithmIdentifier(algorithm)), bitString(signature)));
}

/** One entry of revokedCertificates, whole. */
export function encodeRevokedEntry(entry: RevokedEntry): Uint8Array {
  return encodeDer(entryNode(entry));
}

function entryNode({ serial, revokedAt, reason }: RevokedEntry): DerNode {
  const serialNode = primitive(tags.integer, serial);
  return reason === 'unspecified' ? sequence(serialNode, time(revokedAt)) : sequence(serialNode, time(revokedAt), reasonExtensions(reason));
}

/** Kept: a list of a hundred thousand entries has ten different ones. */
function reasonExtensions(reason: CrlReason): DerNode {
  const kept = reasons.get(reason);
  if (kept) return kept;
  const node = raw(encodeDer(sequence(extensionNode(oids.reasonCode, false, smallInteger(crlReasons[reason], tags.enumerated)))));
  reasons.set(reason, node);
  return node;
}

function extensionNodes({ authorityKeyId, crlNumber, distributionUri, freshestUri, deltaBase }: TbsListFields): DerNode[] {
  const nodes = [
    extensionNode(oids.authorityKeyIdentifier, false, sequence(primitive(contextPrimitive(0), authorityKeyId))),
    extensionNode(oids.crlNumber, false, unsignedInteger(crlNumber)),
  ];
  if (distributionUri !== undefined) {
    // Octet-equal to the certificates' own point, or relying parties must not use the list (RFC 5280 section 6.3.3 (b)(2)).
    nodes.push(extensionNode(oids.issuingDistributionPoint, true, sequence(distributionPointNameNode(distributionUri))));
  }
  if (freshestUri !== undefined) {
    nodes.push(extensionNode(oids.freshestCrl, false, sequence(sequence(distributionPointNameNode(freshestUri)))));
  }
  if (deltaBase) nodes.push(extensionNode(oids.deltaCrlIndicator, true, unsignedInteger(deltaBase)));
  return nodes;
}

const VERSION_2 = smallInteger(1);
const reasons = new Map<CrlReason, DerNode>();
