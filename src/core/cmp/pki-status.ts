import { type DerReader, readNamedBits, readSmallInteger, tags } from '../x509/der.ts';
import { type DerNode, namedBits, sequence, smallInteger, utf8String } from '../x509/der-writer.ts';

/** PKIStatus (RFC 9810 section 5.2.3), by number. */
export const pkiStatuses = [
  'accepted',
  'grantedWithMods',
  'rejection',
  'waiting',
  'revocationWarning',
  'revocationNotification',
  'keyUpdateWarning',
] as const;
export type PkiStatus = (typeof pkiStatuses)[number];

/** PKIFailureInfo (RFC 9810 section 5.2.3), by bit. */
export const pkiFailures = [
  'badAlg',
  'badMessageCheck',
  'badRequest',
  'badTime',
  'badCertId',
  'badDataFormat',
  'wrongAuthority',
  'incorrectData',
  'missingTimeStamp',
  'badPOP',
  'certRevoked',
  'certConfirmed',
  'wrongIntegrity',
  'badRecipientNonce',
  'timeNotAvailable',
  'unacceptedPolicy',
  'unacceptedExtension',
  'addInfoNotAvailable',
  'badSenderNonce',
  'badCertTemplate',
  'signerNotTrusted',
  'transactionIdInUse',
  'unsupportedVersion',
  'notAuthorized',
  'systemUnavail',
  'systemFailure',
  'duplicateCertReq',
] as const;
export type PkiFailure = (typeof pkiFailures)[number];

export type PkiStatusInfo = {
  readonly status: PkiStatus;
  /** For people; nothing is decided by it. */
  readonly text?: string;
  readonly failure?: PkiFailure;
};

/** Reads a PKIStatusInfo; a number that means nothing is a rejection. @throws der-malformed */
export function readPkiStatusInfo(reader: DerReader): PkiStatusInfo {
  const body = reader.enter(tags.sequence);
  const status = pkiStatuses[readSmallInteger(body)] ?? 'rejection';
  if (body.nextTag === tags.sequence) body.element();
  const [bit] = body.nextTag === tags.bitString ? readNamedBits(body) : [];
  body.finish();
  const failure = bit === undefined ? undefined : pkiFailures[bit];
  return failure === undefined ? { status } : { status, failure };
}

export function pkiStatusInfoNode({ status, text, failure }: PkiStatusInfo): DerNode {
  return sequence(
    smallInteger(pkiStatuses.indexOf(status)),
    ...(text === undefined ? [] : [sequence(utf8String(text))]),
    ...(failure === undefined ? [] : [namedBits([pkiFailures.indexOf(failure)])]),
  );
}
