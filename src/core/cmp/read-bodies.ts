import { contextConstructed, DerReader, malformed, tags } from '../x509/der.ts';
import { type Extension, readExtensions } from '../x509/extensions.ts';
import { type CertificateTemplate, readCertificateTemplate } from './certificate-template.ts';
import { readRequestId } from './certificate-request-message.ts';
import { cmpMessageLimits, MAXIMUM_ITEMS } from './cmp-limits.ts';
import { type InfoItem, readInfoItems } from './pki-header.ts';
import { type PkiStatusInfo, readPkiStatusInfo } from './pki-status.ts';

/** RevDetails (RFC 9810 section 5.3.9). */
export type RevocationDetails = { readonly template: CertificateTemplate; readonly extensions: readonly Extension[] };

/** CertStatus (RFC 9810 section 5.3.18); `status` null: accepted. */
export type CertificateStatusItem = {
  readonly hash: Uint8Array;
  readonly requestId: number;
  readonly status: PkiStatusInfo | null;
  /** AlgorithmIdentifier, DER. */
  readonly hashAlgorithm: Uint8Array | null;
};

/** Reads the body of an rr. @throws der-malformed */
export function readRevocationRequests(body: Uint8Array): readonly RevocationDetails[] {
  return readList(body, (list) => {
    const details = list.enter(tags.sequence);
    const template = readCertificateTemplate(details);
    const extensions = details.nextTag === tags.sequence ? readExtensions(details.enter(tags.sequence)) : [];
    details.finish();
    return { template, extensions };
  });
}

/** Reads the body of a certConf; none at all rejects every certificate (RFC 9810 section 5.3.18). @throws der-malformed */
export function readConfirmations(body: Uint8Array): readonly CertificateStatusItem[] {
  return readList(body, (list) => {
    const item = list.enter(tags.sequence);
    const hash = item.content(tags.octetString);
    const requestId = readRequestId(item);
    const status = item.nextTag === tags.sequence ? readPkiStatusInfo(item) : null;
    const wrapped = item.enterOptional(contextConstructed(0));
    const hashAlgorithm = wrapped === null ? null : wrapped.element(tags.sequence);
    wrapped?.finish();
    item.finish();
    return { hash, requestId, status, hashAlgorithm };
  });
}

/** Reads the request ids of a pollReq. @throws der-malformed */
export function readPolls(body: Uint8Array): readonly number[] {
  return readList(body, (list) => {
    const item = list.enter(tags.sequence);
    const id = readRequestId(item);
    item.finish();
    return id;
  });
}

/** Reads the items of a genm. @throws der-malformed */
export function readGeneralMessage(body: Uint8Array): readonly InfoItem[] {
  const reader = DerReader.over(body, cmpMessageLimits);
  const items = readInfoItems(reader);
  reader.finish();
  return items;
}

/** Reads the names in the value of id-it-certProfile. @throws der-malformed */
export function readCertProfiles(value: Uint8Array): readonly string[] {
  return readList(value, (list) => Buffer.from(list.content(tags.utf8String)).toString('utf8'));
}

/** Reads what an error message says. @throws der-malformed */
export function readErrorStatus(body: Uint8Array): PkiStatusInfo {
  const reader = DerReader.over(body, cmpMessageLimits);
  const content = reader.enter(tags.sequence);
  reader.finish();
  return readPkiStatusInfo(content);
}

function readList<T>(body: Uint8Array, read: (list: DerReader) => T): readonly T[] {
  const reader = DerReader.over(body, cmpMessageLimits);
  const list = reader.enter(tags.sequence);
  reader.finish();
  const found: T[] = [];
  while (!list.done) {
    if (found.length === MAXIMUM_ITEMS) throw malformed(`more than ${MAXIMUM_ITEMS} items`);
    found.push(read(list));
  }
  return found;
}
