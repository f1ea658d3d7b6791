import { Problem } from '../core/problems/problem.ts';
import { type Certificate, parseCertificate } from '../core/x509/certificate.ts';
import { decodePem } from '../core/x509/pem.ts';

/** Certificates that chains must lead to. @throws input-invalid */
export function readAnchors(file: string, pem: string): readonly Certificate[] {
  try {
    const anchors = decodePem(pem, 'CERTIFICATE').map((der) => parseCertificate(der));
    if (anchors.length > 0) return anchors;
  } catch (cause) {
    throw new Problem('input-invalid', `Cannot read anchors: ${file}, expected certificates as PEM`, { cause });
  }
  throw new Problem('input-invalid', `Cannot read anchors: ${file}, expected certificates as PEM`);
}
