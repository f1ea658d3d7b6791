import { Problem } from '../problems/problem.ts';
import type { Instant } from '../time/instant.ts';
import { type Certificate, parseTbsCertificate, type TbsCertificate } from './certificate.ts';
import { DerReader, tags } from './der.ts';
import { certificateRules } from './lint-certificate-rules.ts';
import { extensionRules } from './lint-extension-rules.ts';
import { findBreach, type LintException, type LintRule, type LintSubject } from './lint-rule.ts';
import { keyRules } from './lint-key-rules.ts';
import { nameRules } from './lint-name-rules.ts';

/** Octets that may be signed: only the lints make them, and a signer takes nothing else. */
export type LintedTbs = Uint8Array & { readonly brand: 'LintedTbs' };

export type LintFinding = { readonly rule: string; readonly clause: string; readonly message: string };

/** `excepted`: broken on purpose. */
export type LintResult =
  | { readonly kind: 'clean'; readonly tbs: LintedTbs; readonly excepted: readonly LintFinding[] }
  | { readonly kind: 'faulty'; readonly findings: readonly LintFinding[] };

export type LintOptions = {
  readonly now: Instant;
  readonly exceptions: readonly LintException[];
  /** SHA-256 of SubjectPublicKeyInfo of keys that are known to others, lower case hex. */
  readonly blockedKeys?: ReadonlySet<string>;
};

/** Every rule, for documents and for `cert lint`. */
export const lintRules: readonly LintRule[] = [...certificateRules, ...keyRules, ...extensionRules, ...nameRules];

/** Holds the very octets that are about to be signed against every rule; an issuer of null says that the key signs itself. */
export function lintTbsCertificate(tbs: Uint8Array, issuer: Certificate | null, { now, exceptions, blockedKeys }: LintOptions): LintResult {
  const subject = readSubject(now, tbs, issuer);
  if ('finding' in subject) return { kind: 'faulty', findings: [subject.finding] };
  const found = lintSubject(blockedKeys ? { ...subject, blockedKeys } : subject);
  const isExcepted = ({ rule }: LintFinding): boolean => (exceptions as readonly string[]).includes(rule);
  const findings = found.filter((finding) => !isExcepted(finding));
  if (findings.length > 0) return { kind: 'faulty', findings };
  return { kind: 'clean', tbs: tbs as LintedTbs, excepted: found };
}

/** All findings on what was read already. */
export function lintSubject(subject: LintSubject): readonly LintFinding[] {
  return lintRules.flatMap((rule) => {
    const message = findBreach(rule, subject);
    return message === null ? [] : [{ rule: rule.id, clause: rule.clause, message }];
  });
}

function readSubject(now: Instant, tbs: Uint8Array, issuer: Certificate | null): LintSubject | { readonly finding: LintFinding } {
  try {
    return { tbs: parseTbsCertificate(tbs), issuer, now, timeTags: readTimeTags(tbs) };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { finding: { rule: 'der-strict', clause: 'X.690 section 10', message: error.message } };
  }
}

/** Which form the two times have: the values alone do not tell. */
export function readTimeTags(tbs: TbsCertificate['tbs']): readonly [number, number] {
  const body = DerReader.over(tbs).enter(tags.sequence);
  if (body.nextTag !== tags.integer) body.element();
  for (let field = 0; field < 3; field++) body.element();
  const validity = body.enter(tags.sequence);
  const notBefore = validity.nextTag;
  validity.element();
  return [notBefore, validity.nextTag];
}
