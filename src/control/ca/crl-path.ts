import { type EntityId, isEntityId } from '../../core/ids/entity-id.ts';

/** Where an authority's list is served, under the base URL of the public listener; its certificates carry the whole URL for ever. */
export function crlPath(authorityId: EntityId<'authority'>): string {
  return `${PREFIX}${authorityId}${SUFFIX}`;
}

/**
 * The list that a certificate of this serial would be on: by its random octets, so that shards stay equal in size and nobody has to remember
 * which is next.
 */
export function crlShardOf(serial: Uint8Array, shards: number): number {
  const [high = 0, low = 0] = serial.subarray(-2);
  return ((high << 8) | low) % shards;
}

/** The distribution point of a shard: the authority's own URL where there is but one list. Null: it publishes none. */
export function crlUrlOf(
  { crlUrl, crlShards }: { readonly crlUrl: string | null; readonly crlShards: number },
  shard: number,
  kind: 'full' | 'delta' = 'full',
): string | null {
  if (crlUrl === null) return null;
  const stem = crlUrl.slice(0, -SUFFIX.length);
  return `${crlShards === 1 ? stem : `${stem}/${shard}`}${kind === 'delta' ? DELTA_SUFFIX : SUFFIX}`;
}

/** True if the path is for lists, whether or not there is one. */
export function isCrlPath(path: string): boolean {
  return path.startsWith(PREFIX);
}

/** Which list a path names. `shard` null: the only one. */
export type CrlName = { readonly authorityId: EntityId<'authority'>; readonly shard: number | null; readonly kind: 'full' | 'delta' };

/** The list that the path names, or null. */
export function parseCrlPath(path: string): CrlName | null {
  const match = /^\/crl\/([a-z0-9_]{1,64})(?:\/(0|[1-9][0-9]{0,3}))?(\.delta)?\.crl$/.exec(path);
  if (match === null) return null;
  const [, id = '', shard, delta] = match;
  if (!isEntityId('authority', id)) return null;
  return { authorityId: id, shard: shard === undefined ? null : Number(shard), kind: delta === undefined ? 'full' : 'delta' };
}

/** Where an authority's certificate is served (RFC 5280 section 4.2.2.1), beside its lists; null: it publishes nothing. */
export function issuerUrlOf({ id, crlUrl }: { readonly id: EntityId<'authority'>; readonly crlUrl: string | null }): string | null {
  return crlUrl === null ? null : `${crlUrl.slice(0, -crlPath(id).length)}${ISSUER_PREFIX}${id}${ISSUER_SUFFIX}`;
}

/** The authority whose certificate the path names, or null. */
export function parseIssuerPath(path: string): EntityId<'authority'> | null {
  const id = path.startsWith(ISSUER_PREFIX) && path.endsWith(ISSUER_SUFFIX) ? path.slice(ISSUER_PREFIX.length, -ISSUER_SUFFIX.length) : '';
  return isEntityId('authority', id) ? id : null;
}

/** Where all authorities are asked by OCSP; the question says which. */
export const OCSP_PATH = '/ocsp';
const PREFIX = '/crl/';
const [ISSUER_PREFIX, ISSUER_SUFFIX] = ['/ca/', '.cer'];
const SUFFIX = '.crl';
const DELTA_SUFFIX = '.delta.crl';
