import type { AdminClient, ConfigEntry, ConfigList } from './admin-client.ts';

export type ResourceKind = 'clusters' | 'endpoints' | 'secrets' | 'listeners' | 'routes';

/** What Envoy has of one resource, by its own word. */
export type ActiveResource = {
  /** Of what serves now; null while nothing does. */
  readonly version: string | null;
  /** What it last refused of it, and when; null: nothing since it last took one. */
  readonly error: { readonly details: string; readonly at: string } | null;
};

export type ActiveSecrets = {
  readonly secrets: ReadonlyMap<string, ActiveResource>;
  /** The revocation lists that are in force, as PEM; one text for all that are the same. */
  readonly lists: ReadonlySet<string>;
};

/** The resources of one kind by name. @throws not-found, state-conflict if Envoy cannot be asked */
export async function readActive(
  admin: AdminClient,
  kind: Exclude<ResourceKind, 'secrets' | 'endpoints'>,
): Promise<ReadonlyMap<string, ActiveResource>> {
  return readKind(admin, kind, () => {});
}

/** What comes by xDS of the secrets; those of the companion are its own to know. @throws as above */
export async function readSecrets(admin: AdminClient): Promise<ActiveSecrets> {
  const found = new Set<string>();
  const secrets = await readKind(admin, 'secrets', (entry) => found.add(listOf(entry)));
  found.delete('');
  return { secrets, lists: new Set([...found].map((base64) => Buffer.from(base64, 'base64').toString('latin1'))) };
}

async function readKind(
  admin: AdminClient,
  kind: Exclude<ResourceKind, 'endpoints'>,
  onEntry: (entry: ConfigEntry) => void,
): Promise<ReadonlyMap<string, ActiveResource>> {
  const found = new Map<string, ActiveResource>();
  for (const { list, mask, names, read } of lists[kind]) {
    for (const entry of await admin.dump(list, mask, names)) {
      onEntry(entry);
      const { name, version } = read(entry);
      const error = errorOf(entry['error_state']);
      const known = found.get(name);
      if (name !== '') found.set(name, { version: version ?? known?.version ?? null, error: error ?? known?.error ?? null });
    }
  }
  return found;
}

/** The ports that serve, as Envoy shows them, by name. @throws as above */
export async function readListeners(admin: AdminClient): Promise<readonly (readonly [name: string, listener: unknown])[]> {
  const entries = await admin.dump('dynamic_listeners', 'name,active_state.listener');
  return entries.map(({ name, active_state: active }) => [textOf(name), objectOf(active)['listener']]);
}

/** The addresses that each cluster has, by its name and as Envoy shows them. @throws as above */
export async function readAddresses(admin: AdminClient): Promise<ReadonlyMap<string, unknown>> {
  const entries = await admin.dump('dynamic_endpoint_configs', 'endpoint_config.cluster_name,endpoint_config.endpoints');
  return new Map(entries.map(({ endpoint_config: config }) => [textOf(objectOf(config)['cluster_name']), config]));
}

function listOf(entry: ConfigEntry): string {
  const context = objectOf(objectOf(entry['secret'])['validation_context']);
  return textOf(objectOf(context['crl'])['inline_bytes']);
}

function errorOf(state: unknown): ActiveResource['error'] {
  const { details, last_update_attempt: at } = objectOf(state);
  return typeof details === 'string' ? { details, at: textOf(at) } : null;
}

type Reader = (entry: ConfigEntry) => { readonly name: string; readonly version: string | null };

const ERRORS = 'error_state.details,error_state.last_update_attempt';

/** What the control plane has Envoy trust. */
const TRUST_NAMES = String.raw`cs\|trust\|.*`;

/** The version of what is inside: a warming one serves nothing yet. */
const lists: {
  readonly [kind in Exclude<ResourceKind, 'endpoints'>]: readonly {
    readonly list: ConfigList;
    readonly mask: string;
    readonly names?: string;
    readonly read: Reader;
  }[];
} = {
  clusters: [
    { list: 'dynamic_active_clusters', mask: `version_info,cluster.name,${ERRORS}`, read: inside('cluster', 'name') },
    { list: 'dynamic_warming_clusters', mask: `cluster.name,${ERRORS}`, read: inside('cluster', 'name') },
  ],
  secrets: [
    {
      list: 'dynamic_active_secrets',
      mask: `name,version_info,secret.validation_context.crl,${ERRORS}`,
      names: TRUST_NAMES,
      read: named,
    },
    { list: 'dynamic_warming_secrets', mask: `name,${ERRORS}`, names: TRUST_NAMES, read: named },
  ],
  listeners: [
    {
      list: 'dynamic_listeners',
      mask: `name,active_state.version_info,${ERRORS}`,
      read: ({ name, active_state: active }) => ({ name: textOf(name), version: versionOf(objectOf(active)) }),
    },
  ],
  routes: [{ list: 'dynamic_route_configs', mask: `version_info,route_config.name,${ERRORS}`, read: inside('route_config', 'name') }],
};

function inside(field: string, name: string): Reader {
  return (entry) => ({ name: textOf(objectOf(entry[field])[name]), version: versionOf(entry) });
}

function named(entry: ConfigEntry): ReturnType<Reader> {
  return { name: textOf(entry['name']), version: versionOf(entry) };
}

function versionOf({ version_info: version }: ConfigEntry): string | null {
  return typeof version === 'string' && version !== '' ? version : null;
}

function objectOf(value: unknown): ConfigEntry {
  return typeof value === 'object' && value !== null ? (value as ConfigEntry) : {};
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
