import { type Certificate, findExtension } from './certificate.ts';
import { DerReader, tags } from './der.ts';
import { readIa5, URI } from './general-name.ts';
import { oids, readOid } from './oid.ts';

/** Where the status of a certificate may be asked by OCSP (RFC 5280 section 4.2.2.1), in order. @throws der-malformed */
export function ocspUrisOf(certificate: Certificate): readonly string[] {
  const extension = findExtension(certificate, oids.authorityInfoAccess);
  if (extension === null) return [];
  const reader = DerReader.over(extension.value);
  const list = reader.enter(tags.sequence);
  reader.finish();
  const uris: string[] = [];
  while (!list.done) {
    const access = list.enter(tags.sequence);
    const method = readOid(access);
    if (access.nextTag === URI && method === oids.ocspAccess) uris.push(readIa5(access, URI));
  }
  return uris;
}
