import type { Instant } from '../time/instant.ts';
import { extensionNode } from './build-certificate.ts';
import { type CrlReason, crlReasons } from './certificate-list.ts';
import { contextConstructed, contextPrimitive, tags } from './der.ts';
import {
  bitString,
  constructed,
  type DerNode,
  encodeDer,
  explicit,
  nullValue,
  octetString,
  octetStringAround,
  oid,
  primitive,
  raw,
  sequence,
  smallInteger,
} from './der-writer.ts';
import { oids } from './oid.ts';
import { algorithmIdentifier, type SignatureAlgorithm } from './signature-algorithm.ts';
import { generalizedTime } from './x509-time.ts';

/** Answers without a signature (RFC 6960 section 4.2.1). */
export const ocspErrors = { malformedRequest: 1, internalError: 2, tryLater: 3, sigRequired: 5, unauthorized: 6 } as const;
export type OcspError = keyof typeof ocspErrors;

/** What is said of one certificate (RFC 6960 section 2.2). */
export type OcspStatus =
  | { readonly kind: 'good' }
  | { readonly kind: 'revoked'; readonly at: Instant; readonly reason: CrlReason }
  | { readonly kind: 'unknown' };

export type OcspAnswer = {
  /** The CertID as it was asked. */
  readonly certId: Uint8Array;
  readonly status: OcspStatus;
  readonly thisUpdate: Instant;
  readonly nextUpdate: Instant;
};

export type OcspResponseFields = {
  /** SHA-1 over the octets of the responder's key (RFC 6960 section 4.2.1: ResponderID byKey). */
  readonly responderKeyHash: Uint8Array;
  readonly producedAt: Instant;
  readonly answers: readonly OcspAnswer[];
  readonly nonce: Uint8Array | null;
  /** RFC 6960 section 4.4.8: serials that nobody has are answered as revoked. */
  readonly extendedRevoke: boolean;
};

/** Writes the ResponseData that is signed. Times are cut to seconds. */
export function buildTbsOcspResponse(fields: OcspResponseFields): Uint8Array {
  const extensions = [
    ...(fields.nonce === null ? [] : [extensionNode(oids.ocspNonce, false, octetString(fields.nonce))]),
    ...(fields.extendedRevoke ? [extensionNode(oids.ocspExtendedRevoke, false, nullValue())] : []),
  ];
  return encodeDer(
    sequence(
      explicit(2, octetString(fields.responderKeyHash)),
      generalizedTime(fields.producedAt),
      constructed(tags.sequence, fields.answers.map(answerNode)),
      ...(extensions.length === 0 ? [] : [explicit(1, constructed(tags.sequence, extensions))]),
    ),
  );
}

/** The whole OCSPResponse around the signed octets, with the responder's own certificate. */
export function assembleOcspResponse(
  tbs: Uint8Array,
  algorithm: SignatureAlgorithm,
  signature: Uint8Array,
  responder: Uint8Array,
): Uint8Array {
  const basic = sequence(raw(tbs), raw(algorithmIdentifier(algorithm)), bitString(signature), explicit(0, sequence(raw(responder))));
  return encodeDer(sequence(SUCCESSFUL, explicit(0, sequence(oid(oids.ocspBasic), octetStringAround(basic)))));
}

/** `OCSPResponse` of a status alone. */
export function buildOcspError(error: OcspError): Uint8Array {
  return encodeDer(sequence(smallInteger(ocspErrors[error], tags.enumerated)));
}

/** No singleExtensions: the reason stands in RevokedInfo (CA/B BR 4.9.10). */
function answerNode({ certId, status, thisUpdate, nextUpdate }: OcspAnswer): DerNode {
  return sequence(raw(certId), statusNode(status), generalizedTime(thisUpdate), explicit(0, generalizedTime(nextUpdate)));
}

/** `CertStatus ::= CHOICE { good [0] NULL, revoked [1] RevokedInfo, unknown [2] NULL }`, tags implicit. */
function statusNode(status: OcspStatus): DerNode {
  switch (status.kind) {
    case 'good':
      return primitive(contextPrimitive(0), '');
    case 'unknown':
      return primitive(contextPrimitive(2), '');
    case 'revoked': {
      const reason = status.reason === 'unspecified' ? [] : [explicit(0, smallInteger(crlReasons[status.reason], tags.enumerated))];
      return constructed(contextConstructed(1), [generalizedTime(status.at), ...reason]);
    }
    default:
      return status satisfies never;
  }
}

const SUCCESSFUL = smallInteger(0, tags.enumerated);
