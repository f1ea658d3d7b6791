import { createHash, timingSafeEqual } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { Problem } from '../../core/problems/problem.ts';
import type { CertificateRequest } from '../../core/x509/certificate-request.ts';

/**
 * What a CSR has to repeat as its challengePassword to be bound to this TLS session (RFC 7030 section 3.5): base64 of tls-unique, the client's first Finished
 * message (RFC 5929 section 3; nothing is resumed on this listener), and on TLS 1.3, which has none, of tls-exporter (RFC 9266). Null: the session gives none.
 */
export function channelBindingOf(socket: TLSSocket): string | null {
  const octets =
    socket.getProtocol() === 'TLSv1.3'
      ? socket.exportKeyingMaterial(EXPORTER_OCTETS, EXPORTER_LABEL, Buffer.alloc(0))
      : socket.getPeerFinished();
  return octets === undefined ? null : octets.toString('base64');
}

/** A challengePassword that is there has to be right; where the label demands one, it has to be there. @throws forbidden */
export function checkBinding(
  { challengePassword }: Pick<CertificateRequest, 'challengePassword'>,
  { binding, isDemanded }: { readonly binding: string | null; readonly isDemanded: boolean },
): void {
  if (challengePassword === null) {
    if (isDemanded)
      throw new Problem('forbidden', 'Cannot enrol: the CSR is not bound to this TLS session, expected a challengePassword that binds it');
    return;
  }
  // Who signed the CSR elsewhere and had it sent by another could not know it (RFC 7030 section 6).
  if (binding === null || !timingSafeEqual(digest(challengePassword), digest(binding)))
    throw new Problem('forbidden', 'Cannot enrol: the challengePassword of the CSR is not that of this TLS session');
}

function digest(text: string): Uint8Array {
  return createHash('sha256').update(text).digest();
}

const EXPORTER_LABEL = 'EXPORTER-Channel-Binding';
const EXPORTER_OCTETS = 32;
