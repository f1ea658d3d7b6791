import { createHash } from 'node:crypto';
import type { Certificate } from '../x509/certificate.ts';
import { contextConstructed, tags } from '../x509/der.ts';
import {
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
} from '../x509/der-writer.ts';
import { oids } from '../x509/oid.ts';

/** An attribute of one value. */
export type SignedAttribute = { readonly type: string; readonly value: DerNode };

/** What a signer signs (RFC 5652 section 5.4): the attributes as a SET, the type of the content and its SHA-256 among them. Null: there is no content. */
export function buildSignedAttributes(content: Uint8Array | null, more: readonly SignedAttribute[]): Uint8Array {
  const digest = createHash('sha256')
    .update(content ?? new Uint8Array())
    .digest();
  const all = [{ type: oids.contentType, value: oid(oids.cmsData) }, { type: oids.messageDigest, value: octetString(digest) }, ...more];
  const encoded = all.map(({ type, value }) => encodeDer(sequence(oid(type), constructed(tags.set, [value]))));
  // X.690 section 11.6: a set is in the order of its encodings.
  return encodeDer(constructed(tags.set, encoded.toSorted(Buffer.compare).map(raw)));
}

/** The message: data, RSA with SHA-256, signed by who has this certificate, which goes with it. `attributes` are those that were signed. */
export function assembleSignedData({
  content,
  signer,
  attributes,
  signature,
}: {
  readonly content: Uint8Array | null;
  readonly signer: Pick<Certificate, 'der' | 'issuer' | 'serial'>;
  readonly attributes: Uint8Array;
  readonly signature: Uint8Array;
}): Uint8Array {
  const implicit = Uint8Array.from(attributes);
  implicit[0] = contextConstructed(0);
  const sha256 = sequence(oid(oids.sha256), nullValue());
  const signerInfo = sequence(
    smallInteger(1),
    sequence(raw(signer.issuer.der), primitive(tags.integer, signer.serial)),
    sha256,
    raw(implicit),
    sequence(oid(oids.rsaEncryption), nullValue()),
    octetString(signature),
  );
  const signedData = sequence(
    smallInteger(1),
    constructed(tags.set, [sha256]),
    sequence(oid(oids.cmsData), ...(content === null ? [] : [explicit(0, octetString(content))])),
    constructed(contextConstructed(0), [raw(signer.der)]),
    constructed(tags.set, [signerInfo]),
  );
  return encodeDer(sequence(oid(oids.cmsSignedData), explicit(0, signedData)));
}
