import { Problem } from '../../core/problems/problem.ts';
import { contextConstructed, DerReader, tags } from '../../core/x509/der.ts';

/** max_early_data_size of the ticket in a session as Node gives it (SSL_SESSION_ASN1 of OpenSSL, field 15); 0 where it has none. */
export function readMaximumEarlyData(session: Uint8Array): number {
  const fields = openSession(session);
  if (fields === null) return 0;
  while (!fields.done) {
    const field = fields.nextTag;
    const element = fields.element();
    if (field === contextConstructed(MAXIMUM_EARLY_DATA)) {
      const size = DerReader.over(element).enter(field).content(tags.integer);
      return size.reduce((value, octet) => value * 256 + octet, 0);
    }
  }
  return 0;
}

/** Node writes a head of its own before it, with the name of the server: the session is what is DER up to the end. */
function openSession(session: Uint8Array): DerReader | null {
  for (let at = 0; at < Math.min(session.length, MAXIMUM_HEAD); at++) {
    if (session[at] !== tags.sequence) continue;
    try {
      const reader = DerReader.over(session.subarray(at));
      const fields = reader.enter(tags.sequence);
      if (reader.done) return fields;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
  }
  return null;
}

const MAXIMUM_EARLY_DATA = 15;
/** A label and a name of at most 255 octets. */
const MAXIMUM_HEAD = 300;
