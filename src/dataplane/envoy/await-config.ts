import { compileEnvoy, type EnvoyResources } from '../../core/envoy/compile-envoy.ts';
import type { EnvoyInput } from '../../core/envoy/compile-input.ts';
import type { EnvoyResource } from '../../core/envoy/envoy-resource.ts';
import type { ProxySettings, RevokedSet, TrustBundle } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import { pause } from '../../platform/clock/pause.ts';
import { readActive, readAddresses, readListeners, readSecrets, type ResourceKind } from './active-config.ts';
import type { AdminClient } from './admin-client.ts';
import { type ActiveConfig, type ConfigVerdict, errorsOf, judgeConfig, kinds } from './judge-config.ts';
import { digestOfListener } from './listener-content.ts';
import { hasAddresses } from './endpoint-content.ts';
import { RevocationLists } from './revocation-lists.ts';

/** Of what Envoy's resources are made. */
export type ConfigState = {
  readonly settings: ProxySettings;
  /** Our own first. */
  readonly trust: readonly [TrustBundle, ...TrustBundle[]];
  readonly revoked: RevokedSet;
};

/** `absent`: nobody answers at the admin socket. */
export type ConfigLook = ConfigVerdict | { readonly kind: 'absent'; readonly detail: string };

/** Looks at what Envoy runs, once or until it is what it should be. Nothing is asked while nothing is awaited. */
export class ConfigWatch {
  readonly #admin: AdminClient;
  readonly #lists = new RevocationLists();
  #known: ReadonlySet<string> = new Set();
  #made: { readonly key: string; readonly input: EnvoyInput; readonly resources: EnvoyResources } | null = null;
  /** What was last seen. */
  #active: ActiveConfig = nothing;
  /** Kinds that were found to be what they should be under these settings and this trust, and what that was. */
  #proved: { readonly settings: ProxySettings; readonly trust: ConfigState['trust']; readonly kinds: Map<ResourceKind, string> } | null =
    null;

  constructor(admin: AdminClient) {
    this.#admin = admin;
  }

  /** What was seen is of an Envoy that is gone. */
  forget(): void {
    this.#active = nothing;
    this.#proved = null;
  }

  /** What Envoy makes of this state now. */
  async look(state: ConfigState): Promise<ConfigLook> {
    try {
      return await this.#judge(state);
    } catch (error) {
      const { message: detail } = error as Error;
      return error instanceof Problem && error.code === 'not-found' ? { kind: 'absent', detail } : { kind: 'waiting', detail };
    }
  }

  /** Resolves with the verdict that stands: true, overtaken or refused, or what is still missing when the time is over. */
  async until(
    state: () => ConfigState,
    { withinMs, unlessAbsent, signal }: { readonly withinMs: number; readonly unlessAbsent: boolean; readonly signal: AbortSignal },
  ): Promise<ConfigLook> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const begunAt = performance.now();
      const verdict = await this.look(state());
      const isOpen = verdict.kind === 'waiting' || (verdict.kind === 'absent' && !unlessAbsent);
      if (!isOpen || performance.now() >= deadline || signal.aborted) {
        // What is wrong by now is no answer to what is asked next.
        this.#known = errorsOf(this.#active);
        return verdict;
      }
      // A large Envoy is not kept busy with telling what it has.
      await pause(Math.max(POLL_MS, 2 * (performance.now() - begunAt)), signal);
    }
  }

  async #judge({ settings, trust, revoked }: ConfigState): Promise<ConfigVerdict> {
    const { secrets, lists: texts } = await readSecrets(this.#admin);
    this.#active = { ...this.#active, secrets };
    const lists = this.#lists.read(texts, { bundle: trust[0], revoked });
    if (lists === null) return { kind: 'waiting', detail: 'its revocation list lacks what was revoked' };
    const expected = this.#compile({ settings, trust, revoked, crls: lists.crls }, lists.key);
    const proved = this.#provedOf({ settings, trust, revoked }, expected);
    this.#active = { ...this.#active, ...(await this.#read(proved, expected)) };
    const bundle = trust.reduce((latest, { sequence }) => (sequence > latest ? sequence : latest), 0n);
    const verdict = judgeConfig(expected, this.#active, {
      numbers: { generation: settings.generation, bundle, revoked: revoked.sequence },
      known: this.#known,
    });
    if (verdict.kind === 'true') for (const kind of kinds) proved.set(kind, digestsOf(expected[kind]));
    return verdict;
  }

  /**
   * A revocation changes secrets and routes. What Envoy was seen to have of the rest it has still: nothing else was to be sent to it. Kinds that
   * are to change are no longer proved, so that to change back is seen too.
   */
  #provedOf({ settings, trust }: ConfigState, expected: EnvoyResources): Map<ResourceKind, string> {
    const before = this.#proved;
    const isSame = before !== null && before.settings === settings && isSameTrust(before.trust, trust);
    const still = isSame ? [...before.kinds].filter(([kind, digests]) => digests === digestsOf(expected[kind])) : [];
    const proved = new Map(still);
    this.#proved = { settings, trust, kinds: proved };
    return proved;
  }

  /** Once for what does not change between two looks. */
  #compile(input: EnvoyInput, key: string): EnvoyResources {
    const made = this.#made;
    if (made !== null && made.key === key && isSameInput(made.input, input)) return made.resources;
    const resources = compileEnvoy(input);
    this.#made = { key, input, resources };
    return resources;
  }

  /** What is not proved, but for secrets; listeners and addresses with the digest of what they are in the place of that of their version. */
  async #read(proved: ReadonlyMap<ResourceKind, string>, expected: EnvoyResources): Promise<Partial<ActiveConfig>> {
    const asked = kinds.filter((kind) => kind !== 'secrets').filter((kind) => !proved.has(kind));
    const read = await Promise.all(
      asked.map(async (kind) => {
        if (kind === 'endpoints') return [kind, await this.#readEndpoints(expected.endpoints)] as const;
        const active = await readActive(this.#admin, kind);
        if (kind === 'listeners') return [kind, await this.#withContent(active, expected.listeners)] as const;
        return [kind, active] as const;
      }),
    );
    return Object.fromEntries(read);
  }

  async #withContent(active: ActiveResources, expected: readonly EnvoyResource[]): Promise<ActiveResources> {
    const differ = expected.filter(({ name, digest }) => active.get(name)?.version?.endsWith(`.${digest}`) === false);
    if (differ.length === 0) return active;
    const shown = new Map(await readListeners(this.#admin));
    return new Map(
      [...active].map(([name, found]) => {
        const digest = digestOfListener(shown.get(name));
        const numbers = found.version?.slice(0, found.version.lastIndexOf('.')) ?? '';
        return [name, found.version === null || digest === null ? found : { ...found, version: `${numbers}.${digest}` }];
      }),
    );
  }

  /** Envoy tells of addresses in no version: what has others than it should is there, and has none. */
  async #readEndpoints(expected: readonly EnvoyResource[]): Promise<ActiveResources> {
    const shown = await readAddresses(this.#admin);
    const same = expected.filter(({ name, octets }) => shown.has(name) && hasAddresses(shown.get(name), octets));
    const versions = new Map(same.map(({ name, digest }) => [name, `.${digest}`]));
    return new Map([...shown.keys()].map((name) => [name, { version: versions.get(name) ?? null, error: null }]));
  }
}

type ActiveResources = ActiveConfig[ResourceKind];

function digestsOf(resources: readonly EnvoyResource[]): string {
  return resources.map(({ name, digest }) => `${name} ${digest}`).join('\n');
}

function isSameInput(a: EnvoyInput, b: EnvoyInput): boolean {
  return isSameTrust(a.trust, b.trust) && a.settings === b.settings && a.revoked === b.revoked;
}

function isSameTrust(a: readonly TrustBundle[], b: readonly TrustBundle[]): boolean {
  return a.length === b.length && a.every((bundle, index) => bundle === b[index]);
}

const nothing: ActiveConfig = {
  clusters: new Map(),
  endpoints: new Map(),
  secrets: new Map(),
  listeners: new Map(),
  routes: new Map(),
};

const POLL_MS = 50;
