import { postureRules, type PostureRule, type PostureRuleId } from './posture-rules.ts';

/** A rule broken by one endpoint, with what was seen. */
export type Finding = Pick<PostureRule, 'severity' | 'clause' | 'fix'> & {
  readonly rule: PostureRuleId;
  readonly evidence: string;
};

/** `clause` where the evidence has one of its own. */
export function makeFinding(rule: PostureRuleId, evidence: string, clause?: string): Finding {
  const { severity, fix, clause: general } = postureRules[rule];
  return { rule, severity, clause: clause ?? general, evidence, fix };
}
