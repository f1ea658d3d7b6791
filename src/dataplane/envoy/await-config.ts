import { hash } from 'node:crypto';
import { compileEnvoy, type EnvoyResources } from '../../core/envoy/compile-envoy.ts';
import type { EnvoyInput } from '../../core/envoy/compile-input.ts';
import type { ProxySettings, RevokedSet, TrustBundle } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import { pause } from '../../platform/clock/pause.ts';
import { readActive, readListeners } from './active-config.ts';
import type { AdminClient } from './admin-client.ts';
import { type ActiveConfig, type ConfigVerdict, errorsOf, judgeConfig, kinds } from './judge-config.ts';
import { digestOfListener } from './listener-content.ts';
import { readLists } from './revocation-lists.ts';

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
  #known: ReadonlySet<string> = new Set();
  #made: { readonly key: string; readonly input: EnvoyInput; readonly resources: EnvoyResources } | null = null;

  constructor(admin: AdminClient) {
    this.#admin = admin;
  }

  /** What Envoy makes of this state now. */
  async look(state: ConfigState): Promise<ConfigLook> {
    try {
      return (await this.#judge(state)).verdict;
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
        await this.#remember();
        return verdict;
      }
      // A large Envoy is not kept busy with telling what it has.
      await pause(Math.max(POLL_MS, 2 * (performance.now() - begunAt)), signal);
    }
  }

  /** What is wrong by now is no answer to what is asked next. */
  async #remember(): Promise<void> {
    this.#known = errorsOf(await this.#read().catch(() => nothing));
  }

  async #judge({ settings, trust, revoked }: ConfigState): Promise<{ readonly verdict: ConfigVerdict }> {
    const crls = await readLists(this.#admin, { bundle: trust[0], revoked });
    if (crls === null) return { verdict: { kind: 'waiting', detail: 'its revocation list lacks what was revoked' } };
    const expected = this.#compile({ settings, trust, revoked, crls });
    const bundle = trust.reduce((latest, { sequence }) => (sequence > latest ? sequence : latest), 0n);
    const numbers = { generation: settings.generation, bundle, revoked: revoked.sequence };
    const active = await this.#read();
    const verdict = judgeConfig(expected, active, { numbers, known: this.#known });
    if (verdict.kind === 'true') return { verdict };
    const listeners = await this.#withContent(active.listeners);
    return { verdict: judgeConfig(expected, { ...active, listeners }, { numbers, known: this.#known }) };
  }

  /** Once for what does not change between two looks. */
  #compile(input: EnvoyInput): EnvoyResources {
    const key = [...input.crls].map(([issuer, der]) => `${issuer} ${hash('sha256', der, 'hex')}`).join(' ');
    const made = this.#made;
    if (made !== null && made.key === key && isSameInput(made.input, input)) return made.resources;
    const resources = compileEnvoy(input);
    this.#made = { key, input, resources };
    return resources;
  }

  /** Each with the digest of its content in the place of that of its version. */
  async #withContent(listeners: ActiveConfig['listeners']): Promise<ActiveConfig['listeners']> {
    const shown = new Map(await readListeners(this.#admin));
    return new Map(
      [...listeners].map(([name, found]) => {
        const digest = digestOfListener(shown.get(name));
        const numbers = found.version?.slice(0, found.version.lastIndexOf('.')) ?? '';
        return [name, found.version === null || digest === null ? found : { ...found, version: `${numbers}.${digest}` }];
      }),
    );
  }

  async #read(): Promise<ActiveConfig> {
    const read = await Promise.all(kinds.map(async (kind) => [kind, await readActive(this.#admin, kind)] as const));
    return Object.fromEntries(read) as ActiveConfig;
  }
}

function isSameInput(a: EnvoyInput, b: EnvoyInput): boolean {
  const isSameTrust = a.trust.length === b.trust.length && a.trust.every((bundle, index) => bundle === b.trust[index]);
  return isSameTrust && a.settings === b.settings && a.revoked === b.revoked;
}

const nothing: ActiveConfig = {
  clusters: new Map(),
  endpoints: new Map(),
  secrets: new Map(),
  listeners: new Map(),
  routes: new Map(),
};

const POLL_MS = 50;
