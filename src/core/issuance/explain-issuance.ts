import type { Instant } from '../time/instant.ts';
import { type Decision, decideIssuance } from './decide-issuance.ts';
import { type IssuanceFacts, type IssuanceOrder, type IssuanceRule, issuanceRules } from './issuance-order.ts';
import type { Profile } from './profile.ts';

/** What one rule says to an order. `unknown`: what it judges is not known any more. */
export type RuleVerdict = {
  readonly rule: IssuanceRule;
  readonly demands: string;
  readonly verdict: 'kept' | 'broken' | 'unknown';
  readonly messages: readonly string[];
};

/** A decision of the one evaluator with the verdict of every rule, in the order of the table; it asks nothing a second time. */
export function explainDecision(decision: Decision, unknown: readonly IssuanceRule[] = []): readonly RuleVerdict[] {
  const reasons = decision.kind === 'refuse' ? decision.reasons : [];
  return (Object.keys(issuanceRules) as IssuanceRule[]).map((rule) => {
    const messages = reasons.filter((reason) => reason.rule === rule).map(({ message }) => message);
    const verdict = unknown.includes(rule) ? 'unknown' : messages.length > 0 ? 'broken' : 'kept';
    return { rule, demands: issuanceRules[rule], verdict, messages: verdict === 'unknown' ? [] : messages };
  });
}

/** What every rule says to this order under this profile: `decideIssuance`, told in full. */
export function explainIssuance(now: Instant, profile: Profile, order: IssuanceOrder, facts: IssuanceFacts): readonly RuleVerdict[] {
  return explainDecision(decideIssuance(now, profile, order, facts));
}
