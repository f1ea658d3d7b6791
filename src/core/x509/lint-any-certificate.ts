import { Problem } from '../problems/problem.ts';
import { type Certificate, certificateKey, parseCertificate } from './certificate.ts';
import { certificateLimits } from './der.ts';
import { anyExtensionRules } from './lint-any-extension-rules.ts';
import { anyFormRules } from './lint-any-form-rules.ts';
import { anyNameRules, isUnsigned } from './lint-any-name-rules.ts';
import { anyPolicyRules } from './lint-any-policy-rules.ts';
import { type LintFinding, lintRules, readTimeTags } from './lint-certificate.ts';
import { findBreach, type LintRule } from './lint-rule.ts';
import { sameName } from './name.ts';
import { verifySignature } from './signature-algorithm.ts';

/** `error`: a standard of the IETF is broken. `warning`: only the CA/B requirements, which bind public authorities, or good custom. */
export type LintLevel = 'error' | 'warning';

export type AnyFinding = LintFinding & { readonly level: LintLevel };

export type AnyLintOptions = {
  /** The issuer, where it is at hand; rules about it are left out otherwise. */
  readonly issuer: Certificate | null;
  /** SHA-256 of SubjectPublicKeyInfo or digests of Debian's lists, lower case hex. */
  readonly blockedKeys: ReadonlySet<string>;
};

/**
 * Holds anybody's certificate, already signed, against every rule that does not need the moment of its signing. A certificate that its own
 * key signed is its own issuer.
 */
export function lintAnyCertificate(der: Uint8Array, { issuer: given, blockedKeys }: AnyLintOptions): readonly AnyFinding[] {
  let certificate: Certificate;
  const faults: string[] = [];
  try {
    certificate = parseCertificate(der, { ...certificateLimits, faults });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return [malformedAs(error.message)];
  }
  const isRoot = sameName(certificate.issuer, certificate.subject) && isSignedBy(certificate, certificate);
  const issuer = isRoot ? null : given;
  // What it means is clear all the same, so that every other rule can be held against it as well.
  const findings: AnyFinding[] = [...new Set(faults)].map(malformedAs);
  if (isUnsigned(certificate)) {
    if (certificate.signature.length > 0)
      findings.push({
        rule: 'unsigned',
        clause: 'RFC 9925 section 3',
        message: 'an unsigned certificate with a signature',
        level: 'error',
      });
  } else if (issuer && !isSignedBy(certificate, issuer)) {
    findings.push({
      rule: 'signature',
      clause: 'RFC 5280 section 6.1.3 (a)(1)',
      message: "the issuer's key did not sign it",
      level: 'error',
    });
  }
  const subject = { tbs: certificate, issuer, now: certificate.notBefore, timeTags: readTimeTags(certificate.tbs), blockedKeys };
  for (const rule of anyLintRules) {
    if (issuer === null && !isRoot && ofIssuers.has(rule.id)) continue;
    const message = findBreach(rule, subject);
    if (message !== null) findings.push({ rule: rule.id, clause: rule.clause, message, level: levelOf(rule) });
  }
  return findings;
}

function malformedAs(message: string): AnyFinding {
  return { rule: 'der-strict', clause: 'X.690 section 10, RFC 5280 section 4', message, level: 'error' };
}

/** Which level a rule's findings have. */
export function levelOf({ id, clause }: LintRule): LintLevel {
  return customs.has(id) || !/RFC|X\.\d|SPIFFE/.test(clause) ? 'warning' : 'error';
}

function isSignedBy({ signatureAlgorithm, tbs, signature }: Certificate, issuer: Certificate): boolean {
  try {
    return signatureAlgorithm !== null && verifySignature(signatureAlgorithm, certificateKey(issuer), tbs, signature);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return false;
  }
}

/** Of the moment of signing, or of what this house alone issues; rules below say the same for others. */
const ofThisHouse: ReadonlySet<string> = new Set([
  'validity-backdated',
  'validity-ended',
  'validity-not-begun',
  'signature-algorithm',
  'crl-distribution-point',
  'names-distinct',
]);
const ofIssuers: ReadonlySet<string> = new Set([
  'issuer-name',
  'issuer-can-sign',
  'extended-key-usage',
  'purposes-within-issuer',
  'authority-key-identifier',
  'names-within-issuer',
  'validity-within-issuer',
]);
/** Stricter than the standard that they name: what RFC 5280 leaves open, or only recommends. */
const customs: ReadonlySet<string> = new Set([
  'serial-length',
  'key-strength',
  'extended-key-usage',
  'validity-within-issuer',
  'subject-strings',
  'subject-alt-name',
  'key-usage',
  'basic-constraints',
  'subject-values',
  'policy-notice-form',
  'policy-statement',
  'policy-mappings-asserted',
  'name-constraint-kinds',
  'purposes-critical',
  'usage-beside-signing',
]);

/** Every rule that is held against certificates of others. */
export const anyLintRules: readonly LintRule[] = [
  ...lintRules.filter(({ id }) => !ofThisHouse.has(id)),
  ...anyNameRules,
  ...anyExtensionRules,
  ...anyFormRules,
  ...anyPolicyRules,
];
