import { fromBinary } from '@bufbuild/protobuf';
import type { EnvoyResources } from '../../core/envoy/compile-envoy.ts';
import type { EnvoyInput } from '../../core/envoy/compile-input.ts';
import type { EnvoyResource } from '../../core/envoy/envoy-resource.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import {
  Plane,
  type ProxySettings,
  ProxySettingsSchema,
  type TrustBundle,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { contentOf, encodeResource, type EncodedResource } from './encoded-resource.ts';
import type { Changes, ResourceBody } from './sources.ts';
import { type Stamp, versionOf } from './stamp.ts';

/** What Envoy's resources are made from beside a proxy's settings; the same for all. `trust` is our own. */
export type EnvoyAuthorities = Omit<EnvoyInput, 'settings'> & {
  /** Of other trust domains, by the environment in which they are trusted. */
  readonly federated: readonly { readonly environment: string; readonly bundle: TrustBundle }[];
};

/** Something that Envoy would refuse. */
export type ResourceFault = { readonly typeUrl: string; readonly name: string; readonly reason: string };

export type WithheldResource = ResourceFault & { readonly version: string };

/** All resources of one Envoy as they are now. */
export type EnvoySnapshot = { readonly stamp: Stamp; readonly resources: ReadonlyMap<string, ReadonlyMap<string, EncodedResource>> };

export type EnvoySnapshotDeps = {
  /** The settings as they are sent, versioned by their generation. */
  readonly readSettings: (proxyId: EntityId<'proxy'>) => Promise<ResourceBody | null>;
  readonly readAuthorities: () => Promise<EnvoyAuthorities>;
  readonly compile: (input: EnvoyInput) => EnvoyResources;
  /** What of it Envoy would refuse. */
  readonly preflight: (resources: EnvoyResources) => readonly ResourceFault[];
  readonly settingsChanged: Changes;
  readonly authoritiesChanged: Changes;
  /** Told after each making of an Envoy's resources, with what of them is withheld. */
  readonly made: (proxyId: EntityId<'proxy'>, snapshot: EnvoySnapshot, faults: readonly WithheldResource[]) => void;
  /** Told of what cannot be made at all; the resources stay as they were. */
  readonly failed: (proxyId: EntityId<'proxy'>, error: unknown) => void;
};

/**
 * Envoy's resources, made from the same settings that a proxy of ours is sent: once for each change, whatever the number of streams and types that ask.
 * What did not change keeps its octets and its version.
 */
export class EnvoySnapshots {
  readonly #deps: EnvoySnapshotDeps;
  readonly #held = new Map<EntityId<'proxy'>, Held>();
  #authorities: Promise<EnvoyAuthorities> | null = null;
  readonly #bases = new WeakMap<EncodedResource, string>();
  #settingsEpoch = 0;
  #encodings = 0;

  constructor(deps: EnvoySnapshotDeps) {
    this.#deps = deps;
    // Subscribed before any stream, so that a stream that is told of a change finds nothing old here.
    deps.settingsChanged.subscribe(() => (this.#settingsEpoch += 1));
    deps.authoritiesChanged.subscribe(() => (this.#authorities = null));
  }

  /** Resources that were encoded since the start. */
  get encodings(): number {
    return this.#encodings;
  }

  /** The resources of this proxy; null if it is not declared to be an Envoy, or none could be made yet. */
  async read(proxyId: EntityId<'proxy'>): Promise<EnvoySnapshot | null> {
    const authorities = (this.#authorities ??= this.#readAuthorities());
    const held = this.#held.get(proxyId);
    if (held !== undefined && held.epoch === this.#settingsEpoch && held.authorities === authorities) return held.snapshot;
    const snapshot = this.#make(proxyId, authorities, held?.snapshot ?? Promise.resolve(null));
    this.#keep(proxyId, { epoch: this.#settingsEpoch, authorities, snapshot });
    return snapshot;
  }

  subscribe(listener: () => void): Disposable {
    const subscriptions = [this.#deps.settingsChanged, this.#deps.authoritiesChanged].map((changes) => changes.subscribe(() => listener()));
    return { [Symbol.dispose]: () => subscriptions.forEach((subscription) => subscription[Symbol.dispose]()) };
  }

  #readAuthorities(): Promise<EnvoyAuthorities> {
    const reading = this.#deps.readAuthorities();
    // A failed read is not kept.
    reading.catch(() => this.#authorities === reading && (this.#authorities = null));
    return reading;
  }

  #keep(proxyId: EntityId<'proxy'>, held: Held): void {
    this.#held.delete(proxyId);
    this.#held.set(proxyId, held);
    held.snapshot.catch(() => this.#held.get(proxyId) === held && this.#held.delete(proxyId));
    const [oldest] = this.#held.keys();
    if (this.#held.size > MAXIMUM_HELD) this.#held.delete(oldest!);
  }

  async #make(
    proxyId: EntityId<'proxy'>,
    reading: Promise<EnvoyAuthorities>,
    before: Promise<EnvoySnapshot | null>,
  ): Promise<EnvoySnapshot | null> {
    const [body, authorities, previous] = await Promise.all([this.#deps.readSettings(proxyId), reading, before.catch(() => null)]);
    if (body === null) return previous;
    const settings = fromBinary(ProxySettingsSchema, body.octets);
    if (settings.plane !== Plane.ENVOY) return null;
    const stamp = stampOf(settings, authorities);
    try {
      const compiled = this.#deps.compile(inputOf(settings, authorities));
      const faults = this.#deps.preflight(compiled);
      const snapshot = this.#encode(compiled, { stamp, faults, previous });
      const versioned = faults.map((fault) => ({
        ...fault,
        version: snapshot.resources.get(fault.typeUrl)?.get(fault.name)?.version ?? '',
      }));
      this.#deps.made(proxyId, snapshot, versioned);
      return snapshot;
    } catch (error) {
      this.#deps.failed(proxyId, error);
      return previous;
    }
  }

  #encode(
    { clusters, endpoints, secrets, listeners, routes }: EnvoyResources,
    {
      stamp,
      faults,
      previous,
    }: { readonly stamp: Stamp; readonly faults: readonly ResourceFault[]; readonly previous: EnvoySnapshot | null },
  ): EnvoySnapshot {
    const bad = new Set(faults.map(({ typeUrl, name }) => `${typeUrl} ${name}`));
    const resources = new Map<string, Map<string, EncodedResource>>();
    for (const resource of [...clusters, ...endpoints, ...secrets, ...listeners, ...routes]) {
      const ofType = resources.get(resource.typeUrl) ?? new Map<string, EncodedResource>();
      resources.set(resource.typeUrl, ofType);
      const held = previous?.resources.get(resource.typeUrl)?.get(resource.name);
      const encoded = held?.version.endsWith(`.${resource.digest}`) === true ? held : this.#encodeOne(resource, { stamp, held });
      const withheld = bad.has(`${resource.typeUrl} ${resource.name}`);
      ofType.set(resource.name, withheld === (encoded.withheld === true) ? encoded : { ...encoded, withheld });
    }
    return { stamp, resources };
  }

  #encodeOne(
    resource: EnvoyResource,
    { stamp, held }: { readonly stamp: Stamp; readonly held: EncodedResource | undefined },
  ): EncodedResource {
    const { typeUrl, name, digest, octets, needs, base } = resource;
    this.#encodings += 1;
    const before = held !== undefined && base !== undefined && this.#bases.get(held) === base ? held : null;
    const encoded: EncodedResource = {
      ...encodeResource(typeUrl, name, versionOf(stamp, digest), octets),
      ...(needs === undefined ? {} : { needs }),
      ...(before === null ? {} : { sameBut: new Set([...(before.sameBut ?? []), contentOf(before.version)].slice(-MAXIMUM_ALIKE)) }),
    };
    if (base !== undefined) this.#bases.set(encoded, base);
    return encoded;
  }
}

type Held = {
  readonly epoch: number;
  readonly authorities: Promise<EnvoyAuthorities>;
  readonly snapshot: Promise<EnvoySnapshot | null>;
};

/** One without authorities verifies nobody; Envoy takes no empty list for that, so it is left out, which says the same. */
function inputOf(settings: ProxySettings, { federated, trust, revoked, crls }: EnvoyAuthorities): EnvoyInput {
  const { environment, federatedTrustDomains } = settings;
  const others = federated.filter(
    (one) => one.environment === environment && federatedTrustDomains.includes(one.bundle.trustDomain) && one.bundle.authorities.length > 0,
  );
  return { settings, trust: [...trust, ...others.map(({ bundle }) => bundle)], revoked, crls };
}

function stampOf({ generation }: ProxySettings, { trust, revoked }: EnvoyAuthorities): Stamp {
  const sequences = trust.map(({ sequence }) => Number(sequence));
  return { generation: Number(generation), trust: Math.max(0, ...sequences), revoked: Number(revoked.sequence) };
}

/** Who lags by more revocations than these waits for all of them. */
const MAXIMUM_ALIKE = 32;
/** As many as there are connections at a time. */
const MAXIMUM_HELD = 10_000;
