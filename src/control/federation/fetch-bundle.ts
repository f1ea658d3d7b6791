import { Problem } from '../../core/problems/problem.ts';
import type { BundleDocument } from '../../core/spiffe/bundle-document.ts';
import { MAXIMUM_CHARACTERS, parseBundleDocument } from '../../core/spiffe/parse-bundle-document.ts';
import { verifySvid } from '../../core/spiffe/verify-svid.ts';
import { type Instant, SECOND_MS } from '../../core/time/instant.ts';
import type { FetchRequest, JudgeServer } from '../../platform/network/fetch-outside.ts';
import type { FetchKeys } from '../access/fetch-json.ts';
import type { BundleEndpoint, FederatedDomainRecord } from '../inventory/record.ts';

export type FetchedBundle =
  | { readonly kind: 'bundle'; readonly bundle: BundleDocument }
  /** Nothing came, from nobody or from somebody else. */
  | { readonly kind: 'failed'; readonly detail: string };

/**
 * GETs the bundle of another trust domain from the one server that may hand it out: by https_spiffe the holder of its SPIFFE ID, under the bundle
 * that is held. No redirect is followed (SPIFFE Federation section 5.2.1): where it led to nobody vouched for.
 */
export async function fetchBundle(
  fetch: FetchKeys,
  { trustDomain, url, endpoint }: FederatedDomainRecord,
  held: Pick<BundleDocument, 'authorities'> | null,
  now: Instant,
): Promise<FetchedBundle> {
  const verified = verifiedBy(endpoint, { trustDomain, anchors: held?.authorities ?? [] }, now);
  const answer = await fetch({ url, timeoutMs: TIMEOUT_MS, maximumOctets: MAXIMUM_CHARACTERS, redirectPorts: [], verified });
  if (answer.kind === 'failed') return { kind: 'failed', detail: `${answer.stage}: ${answer.detail}`.slice(0, MAXIMUM_DETAIL) };
  if (answer.status !== 200) return { kind: 'failed', detail: `status ${answer.status}, expected 200` };
  try {
    return { kind: 'bundle', bundle: parseBundleDocument(answer.body.toString('utf8'), trustDomain) };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { kind: 'failed', detail: error.message.slice(0, MAXIMUM_DETAIL) };
  }
}

type Anchored = { readonly trustDomain: string; readonly anchors: BundleDocument['authorities'] };

function verifiedBy(endpoint: BundleEndpoint, { trustDomain, anchors }: Anchored, now: Instant): NonNullable<FetchRequest['verified']> {
  if (endpoint.kind === 'https_web') return { anchorsPem: endpoint.anchorsPem };
  const judge: JudgeServer = (chain) => {
    const own = { trustDomain, anchors, intermediates: [] };
    const verdict = verifySvid(now, { own, federated: new Map() }, { chain, usage: 'server' });
    if (verdict.kind === 'unproved') return `the endpoint proves no identity: ${verdict.reason}`;
    return verdict.spiffeId === endpoint.spiffeId ? null : `the endpoint is ${verdict.spiffeId}, expected ${endpoint.spiffeId}`;
  };
  return { judge };
}

const TIMEOUT_MS = 10 * SECOND_MS;
const MAXIMUM_DETAIL = 300;
