import { type Certificate, findExtension } from './certificate.ts';
import { DerReader, readSmallInteger, tags } from './der.ts';
import { oids } from './oid.ts';

/** True if whoever serves the certificate has to staple its status (RFC 7633 section 4.2.3.1). @throws der-malformed */
export function demandsStaple(certificate: Certificate): boolean {
  const extension = findExtension(certificate, oids.tlsFeature);
  if (extension === null) return false;
  const reader = DerReader.over(extension.value);
  const features = reader.enter(tags.sequence);
  reader.finish();
  let demands = false;
  while (!features.done) if (readSmallInteger(features, tags.integer) === STATUS_REQUEST) demands = true;
  return demands;
}

/** The number of the TLS extension (RFC 6066 section 8). */
const STATUS_REQUEST = 5;
