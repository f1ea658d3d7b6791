import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';

/**
 * The certificates that the peer presented in this session, DER, leaf first, at most ten; empty if it presented none.
 * Nothing is judged here. OpenSSL orders what follows the leaf by issuer.
 */
export function readPeerChain(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let next: Partial<DetailedPeerCertificate> | undefined = socket.getPeerCertificate(true);
  while (next?.raw !== undefined && chain.length < MAXIMUM_CERTIFICATES) {
    chain.push(new Uint8Array(next.raw));
    // A self-signed certificate names itself as its issuer.
    if (next.issuerCertificate === next || next.issuerCertificate?.raw?.equals(next.raw)) break;
    next = next.issuerCertificate;
  }
  return chain;
}

const MAXIMUM_CERTIFICATES = 10;
