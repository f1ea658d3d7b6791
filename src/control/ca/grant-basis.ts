import { createHash } from 'node:crypto';
import { canonicalJson, type JsonValue } from '../../core/merkle/canonical-json.ts';
import type { Queries } from '../../platform/db/database.ts';
import { listIdentityProviders } from '../access/machine-token-store.ts';
import type { WaitingContent } from './waiting-request.ts';

/** The content with what its asker's grant rests on, if a token of another issuer asks: the declared issuer and its rule. */
export async function withBasis(queries: Queries, content: WaitingContent): Promise<WaitingContent> {
  const basis = await basisOf(queries, content);
  return basis === null ? content : { ...content, grantBasis: basis };
}

/**
 * Whether what the asker's grant rested on when the request was filed is declared still, word for word: the token itself ended long before anybody approved, so
 * nothing else of it can be asked again.
 */
export async function isBasisInForce(queries: Queries, content: WaitingContent): Promise<boolean> {
  if (content.asker.grant === undefined || content.asker.grant.spent === true) return true;
  const basis = await basisOf(queries, content);
  return basis !== null && basis === content.grantBasis;
}

/** SHA-256, hex, over the issuer and the rule that the grant names; null: there are none of these names, or nothing was granted. */
async function basisOf(queries: Queries, { asker: { grant } }: WaitingContent): Promise<string | null> {
  if (grant === undefined) return null;
  // Names of issuers are of their environments, so two may be meant: then either's change counts.
  const meant = (await listIdentityProviders(queries)).flatMap(({ name, provider }) => {
    const { rules, ...issuer } = provider;
    const rule = rules.find((one) => `${name}/${one.name}` === grant.source && one.environment === grant.environment);
    return rule === undefined ? [] : [{ issuer, rule }];
  });
  if (meant.length === 0) return null;
  return createHash('sha256')
    .update(canonicalJson(meant as unknown as JsonValue))
    .digest('hex');
}
