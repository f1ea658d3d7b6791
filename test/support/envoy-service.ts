import { clone } from '@bufbuild/protobuf';
import type { EntityId } from '../../src/core/ids/entity-id.ts';
import { RevokedSetSchema } from '../../src/core/messages/generated/countersign/v1/settings_pb.ts';
import type { Clock } from '../../src/platform/clock/clock.ts';
import type { Log } from '../../src/platform/log/logger.ts';
import { EnvoyBook, type EnvoyRefusal, type RefusalMemory } from '../../src/protocols/xds/envoy-book.ts';
import { type EnvoyAuthorities, type EnvoySnapshotDeps, EnvoySnapshots } from '../../src/protocols/xds/envoy-snapshots.ts';
import { envoySources, isEnvoyType } from '../../src/protocols/xds/envoy-sources.ts';
import type { Acknowledged, ResourceSource } from '../../src/protocols/xds/resource-source.ts';
import type { Changes, ResourceBody } from '../../src/protocols/xds/sources.ts';

export type CompileEnvoy = Pick<EnvoySnapshotDeps, 'compile' | 'preflight'>;

/** What a control plane of tests serves Envoys; nothing without `compile`. */
export function serveEnvoys(deps: {
  readonly compile: CompileEnvoy | undefined;
  readonly readSettings: (proxyId: EntityId<'proxy'>) => Promise<ResourceBody | null>;
  readonly authorities: EnvoyAuthorities;
  readonly changes: { readonly settings: Changes; readonly bundle: Changes; readonly revoked: Changes };
  readonly clock: Clock;
  readonly log: Log;
}) {
  const { changes, log } = deps;
  const memory = new RefusalsInMemory();
  const book = new EnvoyBook(() => deps.clock.now(), memory);
  const failed: unknown[] = [];
  const attended = new Map<EntityId<'proxy'>, number>();
  const authoritiesChanged: Changes = {
    subscribe(listener) {
      const subscriptions = [changes.bundle, changes.revoked].map((signal) => signal.subscribe(listener));
      return { [Symbol.dispose]: () => subscriptions.forEach((subscription) => subscription[Symbol.dispose]()) };
    },
  };
  const snapshots =
    deps.compile === undefined
      ? null
      : new EnvoySnapshots({
          ...deps.compile,
          readSettings: deps.readSettings,
          // What was read does not change any more, as with rows of a database.
          readAuthorities: async () => {
            const { revoked, crls } = deps.authorities;
            return { ...deps.authorities, revoked: clone(RevokedSetSchema, revoked), crls: new Map(crls) };
          },
          settingsChanged: changes.settings,
          authoritiesChanged,
          made: (...made) => void book.put(...made),
          failed: (_proxyId, error) => void failed.push(error),
        });
  const sources: readonly ResourceSource[] = snapshots === null ? [] : envoySources({ snapshots, book, log });
  return {
    book,
    /** What could not be made of settings. */
    failed,
    sources,
    /** Streams of data planes that are open now. */
    attended,
    attend(proxyId: EntityId<'proxy'>): Disposable {
      attended.set(proxyId, (attended.get(proxyId) ?? 0) + 1);
      return { [Symbol.dispose]: () => void attended.set(proxyId, attended.get(proxyId)! - 1) };
    },
    encodings: () => snapshots?.encodings ?? 0,
    note({ proxyId, refusal, ...rest }: Acknowledged): void {
      if (!isEnvoyType(rest.typeUrl)) return;
      if (refusal === undefined) {
        if (book.accept(proxyId, rest)) memory.drop(proxyId, rest);
      } else if (book.refuse(proxyId, { ...rest, reason: refusal, by: 'envoy' })) {
        memory.put(proxyId, { ...rest, reason: refusal, at: deps.clock.now() });
      }
    },
  };
}

type Refusal = Omit<EnvoyRefusal, 'by'>;

/** In the place of the database. */
class RefusalsInMemory implements RefusalMemory {
  readonly #held = new Map<EntityId<'proxy'>, Map<string, Refusal>>();

  async recall(proxyId: EntityId<'proxy'>): Promise<readonly Refusal[]> {
    return [...(this.#held.get(proxyId)?.values() ?? [])];
  }

  async forget(proxyId: EntityId<'proxy'>): Promise<void> {
    this.#held.delete(proxyId);
  }

  put(proxyId: EntityId<'proxy'>, refusal: Refusal): void {
    const held = this.#held.get(proxyId) ?? new Map<string, Refusal>();
    this.#held.set(proxyId, held.set(`${refusal.typeUrl} ${refusal.name}`, refusal));
  }

  drop(proxyId: EntityId<'proxy'>, { typeUrl, name }: Pick<Refusal, 'typeUrl' | 'name'>): void {
    this.#held.get(proxyId)?.delete(`${typeUrl} ${name}`);
  }
}
