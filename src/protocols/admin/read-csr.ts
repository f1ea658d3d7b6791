import { Problem } from '../../core/problems/problem.ts';
import { type CertificateRequest, parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { decodePem } from '../../core/x509/pem.ts';

/** PEM, or DER in base64. @throws csr-malformed, der-malformed */
export function readCsr(text: string): CertificateRequest {
  if (text.includes('-----BEGIN')) {
    const [der, ...more] = [...decodePem(text, 'CERTIFICATE REQUEST'), ...decodePem(text, 'NEW CERTIFICATE REQUEST')];
    if (der === undefined || more.length > 0) throw new Problem('csr-malformed', 'Cannot read CSR: expected one CERTIFICATE REQUEST block');
    return parseCertificateRequest(der);
  }
  if (!/^[A-Za-z0-9+/\s]+={0,2}\s*$/.test(text)) throw new Problem('csr-malformed', 'Cannot read CSR: expected PEM, or DER in base64');
  return parseCertificateRequest(new Uint8Array(Buffer.from(text, 'base64')));
}
