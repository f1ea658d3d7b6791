import { createHash } from 'node:crypto';
import { parseTrustDomain, type TrustDomain } from '../../core/identity/trust-domain.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { canonicalJson } from '../../core/merkle/canonical-json.ts';
import type { BundleDocument } from '../../core/spiffe/bundle-document.ts';
import { findSharedAuthority, judgeBundle } from '../../core/spiffe/judge-bundle.ts';
import { parseBundleDocument } from '../../core/spiffe/parse-bundle-document.ts';
import { DAY_MS, type Instant, MINUTE_MS, SECOND_MS } from '../../core/time/instant.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import type { Signal } from '../../platform/clock/signal.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Log } from '../../platform/log/logger.ts';
import type { FetchKeys } from '../access/fetch-json.ts';
import type { AuditedDatabase, AuditedUnit, JsonValue } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { readTrustBundle } from '../ca/trust-bundle.ts';
import { findFederatedDomain, listFederatedDomains } from '../inventory/federated-domain-store.ts';
import type { FederatedDomainRecord } from '../inventory/record.ts';
import {
  deleteFederatedBundle,
  type FederatedBundleRecord,
  findFederatedBundle,
  listBundleStates,
  listFederatedBundles,
  upsertFederatedBundle,
} from './bundle-store.ts';
import { fetchBundle, type FetchedBundle } from './fetch-bundle.ts';

export type FederatedBundleDeps = {
  readonly database: AuditedDatabase;
  readonly fetch: FetchKeys;
  /** Told when a bundle is another one, or gone. */
  readonly changed: Signal;
  readonly log: Log;
  /** Told what became of each fetch. */
  readonly fetched?: (result: 'newer' | 'same' | 'failed' | 'refused') => void;
  /** Uniform in [0, 1): spreads the polls of those who share an endpoint. */
  readonly random?: () => number;
};

type Domain = FederatedDomainRecord;
type Held = FederatedBundleRecord;

/**
 * The bundles of the declared trust domains, each fetched when its own last hint says. What was good last stays while an endpoint is away or says
 * what cannot be; an empty bundle is no failure: it revokes all that was.
 */
export class FederatedBundles {
  readonly #deps: FederatedBundleDeps;
  readonly #random: () => number;

  constructor(deps: FederatedBundleDeps) {
    this.#deps = deps;
    this.#random = deps.random ?? Math.random;
  }

  /** Takes up what is declared, forgets what is not any more, and fetches what is due, a bounded number a round. */
  async reconcile(now: Instant): Promise<void> {
    const { queries } = this.#deps.database;
    const domains = await listFederatedDomains(queries, '*');
    const held = new Map((await listBundleStates(queries)).map((state) => [state.domainId, state]));
    if (domains.length === 0 && held.size === 0) return;
    const declared = new Set(domains.map(({ id }) => id));
    for (const id of held.keys()) if (!declared.has(id)) await this.#forget(id);
    for (const domain of domains) if (held.get(domain.id)?.declared !== declaredDigest(domain)) await this.#takeDeclared(domain, now);
    // Who waits longest goes first: endpoints that are away must not stand before all others, round by round.
    const due = (await listBundleStates(queries)).filter(({ dueAt }) => dueAt <= now).toSorted((a, b) => a.dueAt - b.dueAt);
    const byId = new Map(domains.map((domain) => [domain.id, domain]));
    await Promise.all(
      due.slice(0, FETCHES_A_ROUND).map(async ({ domainId }) => {
        const domain = byId.get(domainId);
        if (domain === undefined) return;
        const record = await findFederatedBundle(queries, domainId);
        await this.#take(domain, await fetchBundle(this.#deps.fetch, domain, record, now), now);
      }),
    );
  }

  async #forget(id: EntityId<'domain'>): Promise<void> {
    await this.#deps.database.commit((unit) => deleteFederatedBundle(unit.queries, id));
    this.#deps.changed.notify();
  }

  /** The operator's word counts over what was fetched before: it is how a domain is begun with, and how one that lost its state is taken up again. */
  async #takeDeclared(domain: Domain, now: Instant): Promise<void> {
    await this.#commit(domain, async (unit) => {
      if (!(await isStillDeclared(unit.queries, domain))) return null;
      const before = await findFederatedBundle(unit.queries, domain.id);
      if (before?.declared === declaredDigest(domain)) return null;
      const declared = declaredBundle(domain);
      const shared = await sharedAuthorityOf(unit.queries, domain, declared);
      const bundle = shared === null ? declared : NO_BUNDLE;
      if (shared !== null) this.#refuse(unit, { domain, before, reason: shared, now });
      recordChange(unit, { domain, by: 'declaration', before, after: bundle, now });
      return {
        ...placeOf(domain),
        ...bundle,
        declared: declaredDigest(domain),
        fetchedAt: null,
        triedAt: null,
        dueAt: now,
        fault: shared,
      };
    });
  }

  async #take(domain: Domain, fetched: FetchedBundle, now: Instant): Promise<void> {
    await this.#commit(domain, async (unit) => {
      // Whom it was fetched from, and what proved that server, must be what counts when it is taken.
      if (!(await isStillDeclared(unit.queries, domain))) return null;
      const before = await findFederatedBundle(unit.queries, domain.id);
      // Declared anew, or fetched by another server, meanwhile.
      if (before === null || before.declared !== declaredDigest(domain) || before.dueAt > now) return null;
      const failed = (fault: string): Held => ({ ...before, triedAt: now, dueAt: this.#dueAfter(now, before, 'failure'), fault });
      if (fetched.kind === 'failed') {
        this.#deps.fetched?.('failed');
        this.#deps.log('warn', 'federated-bundle.not-fetched', {
          trustDomain: domain.trustDomain,
          url: domain.url,
          detail: fetched.detail,
        });
        return failed(fetched.detail);
      }
      const { bundle } = fetched;
      const verdict = judgeBundle(before, bundle);
      const reason = verdict.kind === 'refused' ? verdict.reason : await sharedAuthorityOf(unit.queries, domain, bundle);
      this.#deps.fetched?.(reason === null ? verdict.kind : 'refused');
      if (reason !== null) {
        this.#refuse(unit, { domain, before, reason, now });
        return failed(reason);
      }
      if (verdict.kind === 'newer') recordChange(unit, { domain, by: 'endpoint', before, after: bundle, now });
      return { ...before, ...bundle, fetchedAt: now, triedAt: now, dueAt: this.#dueAfter(now, bundle, 'success'), fault: null };
    });
  }

  /** Stores what the unit makes of the record, and tells of it if other authorities are trusted by then. */
  async #commit(domain: Domain, make: (unit: AuditedUnit) => Promise<Held | null>): Promise<void> {
    const isOther = await this.#deps.database.commit(async (unit) => {
      const before = await findFederatedBundle(unit.queries, domain.id);
      const after = await make(unit);
      if (after === null) return false;
      await upsertFederatedBundle(unit.queries, after);
      return before === null || before.sequence !== after.sequence || keysOf(before).join() !== keysOf(after).join();
    });
    if (isOther) this.#deps.changed.notify();
  }

  /** What a domain says that cannot be is an attack or an accident, and its operators' to hear of; said once, however often it is fetched. */
  #refuse(
    unit: AuditedUnit,
    refusal: { readonly domain: Domain; readonly before: Held | null; readonly reason: string; readonly now: Instant },
  ): void {
    const { domain, before, reason, now } = refusal;
    const { environment, region, name, trustDomain, url } = domain;
    this.#deps.log('error', 'federated-bundle.refused', { trustDomain, url, reason });
    if (before?.fault === reason) return;
    recordEntry(unit, {
      type: 'federated-bundle.refused',
      at: now,
      environment,
      region,
      actor: { kind: 'system', name: 'federation' },
      data: { name, trustDomain, reason, sequence: before?.sequence ?? null },
    });
  }

  /** Somewhat before the time, so that nobody holds an old bundle for longer than was asked for. */
  #dueAfter(now: Instant, { refreshHintMs }: Pick<BundleDocument, 'refreshHintMs'>, what: 'success' | 'failure'): Instant {
    const asked = Math.min(MAXIMUM_WAIT_MS, Math.max(MINIMUM_WAIT_MS, refreshHintMs ?? USUAL_WAIT_MS));
    const wait = what === 'failure' ? Math.min(asked, RETRY_MS) : asked;
    return now + Math.round(wait * (1 - JITTER * this.#random()));
  }
}

/** Only what verifies identities is replaced by another declaration: where it is fetched may move. */
function declaredDigest({ trustDomain, endpoint }: Domain): string {
  const bundle = endpoint.kind === 'https_spiffe' ? endpoint.bundle : null;
  return createHash('sha256').update(canonicalJson({ trustDomain, bundle })).digest('hex');
}

/** Nothing of the declaration changed since it was read, its URL, anchors and expected identity included. */
async function isStillDeclared(queries: Queries, domain: Domain): Promise<boolean> {
  const present = await findFederatedDomain(queries, domain.id);
  return present !== null && canonicalJson(present) === canonicalJson(domain);
}

function declaredBundle({ trustDomain, endpoint }: Domain): BundleDocument {
  return endpoint.kind === 'https_spiffe' ? parseBundleDocument(endpoint.bundle, trustDomain) : NO_BUNDLE;
}

/** Against ourselves and every other domain; one that is declared in two environments is no other. */
async function sharedAuthorityOf(queries: Queries, { trustDomain }: Domain, { authorities }: BundleDocument): Promise<string | null> {
  const own = await readTrustBundle(queries);
  const ownCertificates = (own?.authorities ?? []).map(({ certificate }) => parseCertificate(certificate));
  const others = (await listFederatedBundles(queries)).filter((other) => other.trustDomain !== trustDomain);
  const ours: { readonly trustDomain: TrustDomain; readonly authorities: BundleDocument['authorities'] }[] =
    own === null ? [] : [{ trustDomain: own.trustDomain, authorities: ownCertificates }];
  return findSharedAuthority(authorities, [...ours, ...others]);
}

type Change = {
  readonly domain: Domain;
  readonly by: 'declaration' | 'endpoint';
  readonly before: Held | null;
  readonly after: BundleDocument;
  readonly now: Instant;
};

function recordChange(unit: AuditedUnit, { domain, by, before, after, now }: Change): void {
  const { environment, region, name, trustDomain } = domain;
  recordEntry(unit, {
    type: 'federated-bundle.changed',
    at: now,
    environment,
    region,
    actor: { kind: 'system', name: 'federation' },
    data: { name, trustDomain, by, before: shown(before), after: shown(after) },
  });
}

function shown(bundle: BundleDocument | null): JsonValue {
  return bundle === null ? null : { sequence: bundle.sequence, authorities: keysOf(bundle) };
}

function keysOf({ authorities }: BundleDocument): string[] {
  return authorities.map(({ spkiSha256 }) => spkiSha256);
}

function placeOf({ id, environment, trustDomain }: Domain): Pick<Held, 'domainId' | 'environment' | 'trustDomain'> {
  return { domainId: id, environment, trustDomain: parseTrustDomain(trustDomain) };
}

const NO_BUNDLE: BundleDocument = { sequence: null, refreshHintMs: null, authorities: [] };
/** Of ten seconds at the most each, all at once. */
const FETCHES_A_ROUND = 10;
/** SPIFFE Trust Domain and Bundle section 6.2, where no hint is given. */
const USUAL_WAIT_MS = 5 * MINUTE_MS;
/** Whoever asks to be asked all the time is asked no more often; a revoked authority is not waited for longer than a day. */
const MINIMUM_WAIT_MS = 10 * SECOND_MS;
const MAXIMUM_WAIT_MS = DAY_MS;
const RETRY_MS = 30 * SECOND_MS;
const JITTER = 0.1;
