import { createHash } from 'node:crypto';
import { encodeBundleDocument } from '../../core/spiffe/bundle-document.ts';
import { type Instant, MINUTE_MS, SECOND_MS } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { readTrustBundle } from '../ca/trust-bundle.ts';

/** Our bundle as other trust domains are handed it. */
export type PublishedBundle = { readonly octets: Buffer; readonly sequence: number; readonly etag: string };

/**
 * What we publish of ourselves: the roots alone, because whoever has the bundle takes everything in it for an anchor. Its sequence is that of the
 * trust bundle, which is counted in the database and so rises over restarts too. It is made once for all who ask within a moment.
 */
export class OwnBundle {
  readonly #queries: Queries;
  #held: { readonly readAt: Instant; readonly bundle: Promise<PublishedBundle | null> } | null = null;

  constructor(queries: Queries) {
    this.#queries = queries;
  }

  /** Null before the first authority. */
  read(now: Instant): Promise<PublishedBundle | null> {
    const held = this.#held;
    if (held !== null && now - held.readAt < FRESH_MS && now >= held.readAt) return held.bundle;
    const bundle = this.#make();
    this.#held = { readAt: now, bundle };
    // A failed read is not kept.
    bundle.catch(() => (this.#held = null));
    return bundle;
  }

  async #make(): Promise<PublishedBundle | null> {
    const bundle = await readTrustBundle(this.#queries);
    if (bundle === null) return null;
    const authorities = bundle.authorities.filter(({ role }) => role === 'root').map(({ certificate }) => certificate);
    const { sequence } = bundle;
    const octets = Buffer.from(encodeBundleDocument({ sequence, refreshHintMs: REFRESH_HINT_MS, authorities }));
    return { octets, sequence, etag: `"${createHash('sha256').update(octets).digest('hex')}"` };
  }
}

/** How soon others hear of an authority that came or went: SPIFFE Trust Domain and Bundle section 6.2 speaks of five minutes. */
export const REFRESH_HINT_MS = 5 * MINUTE_MS;
/** Another server on the same database may have changed it. */
const FRESH_MS = SECOND_MS;
