import { constructed, type DerNode, explicit, nullValue, primitive, raw, sequence, smallInteger } from '../x509/der-writer.ts';
import { tags } from '../x509/der.ts';
import { DIRECTORY_NAME } from '../x509/general-name.ts';
import type { Name } from '../x509/name.ts';
import { type PkiStatusInfo, pkiStatusInfoNode } from './pki-status.ts';

/** The answer to the one request of an ir, cr, p10cr or kur: CertRepMessage (RFC 9810 section 5.3.4). */
export function certificateResponseNode(answer: {
  readonly requestId: number;
  readonly status: PkiStatusInfo;
  /** DER; absent: none was issued. */
  readonly certificate?: Uint8Array;
  /** Roots for whoever shares a secret with us, and so can know that they are ours. */
  readonly roots?: readonly Uint8Array[];
}): DerNode {
  const { requestId, status, certificate, roots = [] } = answer;
  const pair = certificate === undefined ? [] : [sequence(explicit(0, raw(certificate)))];
  const response = sequence(requestIdNode(requestId), pkiStatusInfoNode(status), ...pair);
  return sequence(...(roots.length === 0 ? [] : [explicit(1, sequence(...roots.map(raw)))]), sequence(response));
}

/** RevRepContent (RFC 9810 section 5.3.10) for one certificate. */
export function revocationResponseNode(
  status: PkiStatusInfo,
  certificate: { readonly issuer: Name; readonly serial: Uint8Array },
): DerNode {
  const id = sequence(constructed(DIRECTORY_NAME, [raw(certificate.issuer.der)]), primitive(tags.integer, certificate.serial));
  return sequence(sequence(pkiStatusInfoNode(status)), explicit(0, sequence(id)));
}

/** PKIConfirmContent. */
export function confirmationNode(): DerNode {
  return nullValue();
}

/** ErrorMsgContent (RFC 9810 section 5.3.21). */
export function errorNode(status: PkiStatusInfo): DerNode {
  return sequence(pkiStatusInfoNode(status));
}

/** PollRepContent (RFC 9810 section 5.3.22) for one request: ask again after so many seconds. */
export function pollResponseNode(requestId: number, checkAfterSeconds: number): DerNode {
  return sequence(sequence(requestIdNode(requestId), smallInteger(checkAfterSeconds)));
}

function requestIdNode(id: number): DerNode {
  return id < 0 ? primitive(tags.integer, MINUS_ONE) : smallInteger(id);
}

const MINUS_ONE = Uint8Array.of(0xff);
