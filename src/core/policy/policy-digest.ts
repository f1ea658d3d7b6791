import { createHash } from 'node:crypto';
import { canonicalJson } from '../merkle/canonical-json.ts';
import type { Policy } from './policy.ts';

/** SHA-256 over a policy's canonical JSON, lower case hex: equal policies have one name, whoever wrote them. */
export type PolicyDigest = string & { readonly brand?: 'PolicyDigest' };

export function policyDigest(policy: Policy): PolicyDigest {
  return createHash('sha256').update(canonicalJson(policy)).digest('hex');
}
