import { SECOND_MS } from '../time/instant.ts';
import { type Certificate, certificateKey, parseCertificate } from '../x509/certificate.ts';

/** What a SPIFFE bundle says of one trust domain, as far as X.509 goes (SPIFFE Trust Domain and Bundle section 4). */
export type BundleDocument = {
  /** Rises with every change; null: the document names none. */
  readonly sequence: number | null;
  /** How long it may be taken for the newest, milliseconds; null: it does not say. */
  readonly refreshHintMs: number | null;
  /** What X509-SVIDs of the trust domain chain to; none: all that there were are revoked. */
  readonly authorities: readonly Certificate[];
};

/** What a trust domain publishes of itself: each authority an entry with one certificate and without a `kid` (X509-SVID section 6). */
export function encodeBundleDocument(bundle: {
  readonly sequence: number;
  readonly refreshHintMs: number;
  /** DER. */
  readonly authorities: readonly Uint8Array[];
}): string {
  const keys = bundle.authorities.map((der) => ({
    use: 'x509-svid',
    ...certificateKey(parseCertificate(der)).export({ format: 'jwk' }),
    x5c: [Buffer.from(der).toString('base64')],
  }));
  const { sequence, refreshHintMs } = bundle;
  return `${JSON.stringify({ spiffe_sequence: sequence, spiffe_refresh_hint: refreshHintMs / SECOND_MS, keys })}\n`;
}
