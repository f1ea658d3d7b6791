import { Problem } from '../problems/problem.ts';
import type { Instant } from '../time/instant.ts';
import type { Certificate, TbsCertificate } from './certificate.ts';

/** What a rule looks at: the certificate about to be signed, its issuer (null: it signs itself), and the time. */
export type LintSubject = {
  readonly tbs: TbsCertificate;
  readonly issuer: Certificate | null;
  readonly now: Instant;
  /** Identifier octets of notBefore and notAfter. */
  readonly timeTags: readonly [number, number];
  /** Keys that are known to others, lower case hex: SHA-256 of SubjectPublicKeyInfo, or a digest of Debian's lists. */
  readonly blockedKeys?: ReadonlySet<string>;
};

/** A rule of the standards. `find` tells what breaks it, or null. */
export type LintRule = {
  readonly id: string;
  /** Where it stands. */
  readonly clause: string;
  readonly find: (subject: LintSubject) => string | null;
};

/** What breaks the rule, or null. An extension that is malformed breaks the rule that reads it. */
export function findBreach({ find }: LintRule, subject: LintSubject): string | null {
  try {
    return find(subject);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return error.message;
  }
}

/** Rules that a drill's credential may break on purpose; no other rule has exceptions. */
export const lintExceptions = ['validity-ended', 'validity-not-begun', 'svid-purposes'] as const;
export type LintException = (typeof lintExceptions)[number];
