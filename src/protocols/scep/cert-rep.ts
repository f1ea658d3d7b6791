import { randomBytes } from 'node:crypto';
import { assembleSignedData, buildSignedAttributes, type SignedAttribute } from '../../core/cms/build-signed-data.ts';
import { buildCertsOnly } from '../../core/cms/certs-only.ts';
import type { ContentCipher } from '../../core/cms/enveloped-data.ts';
import { tags } from '../../core/x509/der.ts';
import { octetString, primitive } from '../../core/x509/der-writer.ts';
import { oids } from '../../core/x509/oid.ts';
import { sealEnvelope } from '../../platform/cms/seal-envelope.ts';
import type { PkiMessage } from './pki-message.ts';
import type { RegistrationAuthority } from './registration-authority.ts';

/** Why a request failed, in the words of RFC 8894 section 3.2.1.4, each with its number. */
export const failInfos = { badAlg: '0', badMessageCheck: '1', badRequest: '2', badTime: '3', badCertId: '4' } as const;
export type FailInfo = keyof typeof failInfos;

/** What a request came to. */
export type Outcome =
  | {
      readonly kind: 'issued';
      readonly certificates: readonly Uint8Array[];
      readonly lists?: readonly Uint8Array[];
      readonly cipher: ContentCipher;
    }
  | { readonly kind: 'waiting' }
  | { readonly kind: 'failed'; readonly failInfo: FailInfo };

/** The CertRep (RFC 8894 section 3.3.2), signed by the registration authority and encrypted to who asked. */
export async function buildCertRep(
  authority: RegistrationAuthority,
  { transactionId, senderNonce, sender }: PkiMessage,
  outcome: Outcome,
): Promise<Uint8Array> {
  const content =
    outcome.kind === 'issued' ? sealEnvelope(buildCertsOnly(outcome.certificates, outcome.lists), sender, outcome.cipher) : null;
  const attributes = buildSignedAttributes(content, [
    text(oids.scepTransactionId, transactionId),
    text(oids.scepMessageType, CERT_REP),
    text(oids.scepPkiStatus, STATUSES[outcome.kind]),
    { type: oids.scepRecipientNonce, value: octetString(senderNonce) },
    { type: oids.scepSenderNonce, value: octetString(randomBytes(NONCE_OCTETS)) },
    ...(outcome.kind === 'failed' ? [text(oids.scepFailInfo, failInfos[outcome.failInfo])] : []),
  ]);
  const { certificate, key } = authority;
  return assembleSignedData({ content, signer: certificate, attributes, signature: await key.signMessage(attributes) });
}

function text(type: string, value: string): SignedAttribute {
  return { type, value: primitive(tags.printableString, value) };
}

const CERT_REP = '3';
const STATUSES = { issued: '0', failed: '2', waiting: '3' } as const;
const NONCE_OCTETS = 16;
