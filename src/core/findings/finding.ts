import { postureRules, type PostureRule, type PostureRuleId } from './posture-rules.ts';

/** A rule broken by one endpoint, with what was seen. */
export type Finding = Pick<PostureRule, 'severity' | 'clause' | 'fix'> & {
  readonly rule: PostureRuleId;
  readonly evidence: string;
};

/** What a server wrote into certificates and answers cannot steer a terminal or a reader. `clause` where the evidence has one of its own. */
export function makeFinding(rule: PostureRuleId, evidence: string, clause?: string): Finding {
  const { severity, fix, clause: general } = postureRules[rule];
  return { rule, severity, clause: clause ?? general, evidence: plainText(evidence), fix };
}

/** Controls, and what only changes how others look, by their numbers. */
function plainText(text: string): string {
  const safe = text
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
  return safe.length > MAXIMUM_EVIDENCE ? `${safe.slice(0, MAXIMUM_EVIDENCE)}…` : safe;
}

const MAXIMUM_EVIDENCE = 1_000;
