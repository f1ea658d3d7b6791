import { Problem } from '../../core/problems/problem.ts';
import { type CertificateRequest, parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { decodeBase64 } from '../../core/x509/pem.ts';
import type { EstCall } from './call.ts';

/** The PKCS#10 request of a body: base64, whatever its lines, whatever the client says of its transfer encoding (RFC 8951 section 3.1). @throws media-type-unsupported, csr-malformed */
export async function readCsr({ contentType, readBody }: EstCall): Promise<CertificateRequest> {
  if (!/^application\/pkcs10(?:\s*;|$)/i.test(contentType))
    throw new Problem('media-type-unsupported', 'Cannot read request: expected content type application/pkcs10');
  const der = decodeBase64(await readBody());
  if (der === null) throw new Problem('csr-malformed', 'Cannot read request: the body is not base64');
  return parseCertificateRequest(der);
}
