import { contextConstructed, tags } from '../x509/der.ts';
import { constructed, encodeDer, explicit, oid, raw, sequence, smallInteger } from '../x509/der-writer.ts';
import { oids } from '../x509/oid.ts';

/**
 * A SignedData without content and without signers, which carries certificates and lists alone (RFC 5652 section 5.1, "certs-only"): DER but for the set of
 * certificates, which keeps the order given. Clients take the first for their own.
 */
export function buildCertsOnly(certificates: readonly Uint8Array[], lists: readonly Uint8Array[] = []): Uint8Array {
  const signedData = sequence(
    smallInteger(1),
    constructed(tags.set, []),
    sequence(oid(oids.cmsData)),
    ...setOf(0, certificates),
    ...setOf(1, lists),
    constructed(tags.set, []),
  );
  return encodeDer(sequence(oid(oids.cmsSignedData), explicit(0, signedData)));
}

/** Absent where it would be empty. */
function setOf(tag: number, encodings: readonly Uint8Array[]) {
  return encodings.length === 0 ? [] : [constructed(contextConstructed(tag), encodings.map(raw))];
}
