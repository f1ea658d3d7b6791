import { Problem } from '../core/problems/problem.ts';
import type { Instant } from '../core/time/instant.ts';
import type { PathLimits } from '../core/x509/build-paths.ts';
import { type Certificate, parseCertificate } from '../core/x509/certificate.ts';
import { type CertificateList, parseCertificateList } from '../core/x509/certificate-list.ts';
import type { PathReason } from '../core/x509/path-fault.ts';
import { decodePem } from '../core/x509/pem.ts';
import { presentsIdentity } from '../core/x509/service-identity.ts';
import { validatePath } from '../core/x509/validate-path.ts';
import type { VerifyRequest } from './verify-request.ts';

/** What `cert verify` says of one request. */
export type Answer =
  | { readonly verdict: 'accept'; readonly path: readonly Certificate[] }
  | { readonly verdict: 'reject'; readonly reason: PathReason | 'malformed'; readonly detail: string };

/** Verifies one request. Certificates that cannot be parsed, other than the leaf, are passed over as if they were not there. */
export function answerVerification(now: Instant, request: VerifyRequest, parsed: ParsedTexts): Answer {
  const leaves = decodePem(request.leaf, 'CERTIFICATE');
  if (leaves.length !== 1)
    return { verdict: 'reject', reason: 'malformed', detail: `the leaf is ${leaves.length} certificates, expected one` };
  const verdict = validatePath({
    leaf: parseCertificate(leaves[0]!),
    intermediates: parsed.certificates(request.intermediates),
    anchors: parsed.certificates(request.trusted),
    demands: { ...request, endEntity: false, revocation: request.lists.length > 0 },
    lists: request.lists.length > 0 ? parsed.lists(request.lists) : null,
    now: request.time ?? now,
    limits: verifyLimits,
  });
  if (verdict.kind === 'invalid') return { verdict: 'reject', reason: verdict.reason, detail: verdict.detail };
  const missing = request.names.find((name) => !presentsIdentity(verdict.path[0]!, name));
  if (missing) return { verdict: 'reject', reason: 'wrong-identity', detail: `the leaf does not present the ${missing.kind} name` };
  return { verdict: 'accept', path: verdict.path };
}

/** Keeps what was parsed, as many requests share their authorities; the oldest goes first. */
export class ParsedTexts {
  readonly #certificates = new KeptTexts<readonly Certificate[]>();
  readonly #lists = new KeptTexts<readonly CertificateList[]>();

  /** The certificates of these PEM texts that are well formed. @throws der-malformed when a text is no PEM */
  certificates(texts: readonly string[]): readonly Certificate[] {
    return texts.flatMap((text) =>
      this.#certificates.read(text, () => {
        const blocks = decodePem(text, 'CERTIFICATE');
        if (blocks.length === 0) throw new Problem('der-malformed', 'Cannot parse PEM: no certificate in it');
        return blocks.flatMap((der) => tryParse(der, parseCertificate));
      }),
    );
  }

  /** The lists of these PEM texts that are well formed; one that is not tells nothing. @throws der-malformed when a text is no PEM */
  lists(texts: readonly string[]): readonly CertificateList[] {
    return texts.flatMap((text) =>
      this.#lists.read(text, () => {
        const blocks = decodePem(text, 'X509 CRL');
        if (blocks.length === 0) throw new Problem('der-malformed', 'Cannot parse PEM: no certificate list in it');
        return blocks.flatMap((der) => tryParse(der, parseCertificateList));
      }),
    );
  }
}

class KeptTexts<T> {
  readonly #kept = new Map<string, T>();
  #characters = 0;

  read(text: string, parse: () => T): T {
    const kept = this.#kept.get(text);
    if (kept !== undefined) return kept;
    const parsed = parse();
    this.#kept.set(text, parsed);
    this.#characters += text.length;
    for (const oldest of this.#kept.keys()) {
      if (this.#characters <= MAX_KEPT_CHARACTERS) break;
      this.#kept.delete(oldest);
      this.#characters -= oldest.length;
    }
    return parsed;
  }
}

function tryParse<T>(der: Uint8Array, parse: (der: Uint8Array) => T): readonly T[] {
  try {
    return [parse(der)];
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return [];
  }
}

/** Wider than a proxy's: nobody waits for a handshake, and suites of tests go deep. */
const verifyLimits: PathLimits = {
  maxCertificates: 32,
  maxSignatures: 400,
  maxSteps: 5_000,
  maxNameComparisons: 250_000,
  maxPolicyNodes: 100_000,
};
/** Some 20,000 certificates. */
const MAX_KEPT_CHARACTERS = 33_554_432;
