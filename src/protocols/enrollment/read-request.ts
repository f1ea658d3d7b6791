import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import { type CertificateRequest, parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { Violation } from '../data-plane/violation.ts';

/**
 * A CSR that asks for this identity or leaves the name to us. Whatever else it asks for would be another's name.
 * @throws csr-malformed; Violation (forbidden) for any other name
 */
export function readRequestFor(spiffeId: SpiffeId, csr: Uint8Array): CertificateRequest {
  const request = parseCertificateRequest(csr);
  const { uri, ...others } = request.subjectAltNames;
  const foreign = uri.find((name) => name !== spiffeId) ?? Object.values(others).flat()[0];
  if (foreign !== undefined)
    throw new Violation('other-names', typeof foreign === 'string' ? JSON.stringify(foreign.slice(0, 200)) : 'no URI');
  if (request.subject.text !== '') throw new Violation('other-names', `subject ${JSON.stringify(request.subject.text.slice(0, 200))}`);
  return request;
}
