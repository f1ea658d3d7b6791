import { buildCertsOnly } from '../../core/cms/certs-only.ts';

/** What goes back to the client. */
export type EstAnswer = {
  readonly status: number;
  readonly headers: { readonly [name: string]: string };
  /** Null: none. */
  readonly body: string | null;
};

/** Certificates as a certs-only message (RFC 7030 sections 4.1.3 and 4.2.3). */
export function certificatesAnswer(certificates: readonly Uint8Array[], type = 'application/pkcs7-mime; smime-type=certs-only'): EstAnswer {
  return { status: 200, headers: { 'content-type': type }, body: base64(buildCertsOnly(certificates)) };
}

/**
 * One line: RFC 8951 section 3.1 allows line ends, and strongSwan reads none. No Content-Transfer-Encoding says so, for HTTP has none (the same clause).
 */
export function base64(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('base64');
}
