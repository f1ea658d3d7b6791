import { type EntityId, isEntityId } from '../../core/ids/entity-id.ts';

/** Where an authority's list is served, under the base URL of the public listener; its certificates carry the whole URL for ever. */
export function crlPath(authorityId: EntityId<'authority'>): string {
  return `${PREFIX}${authorityId}${SUFFIX}`;
}

/** True if the path is for lists, whether or not there is one. */
export function isCrlPath(path: string): boolean {
  return path.startsWith(PREFIX);
}

/** The authority whose list the path names, or null. */
export function authorityOfCrlPath(path: string): EntityId<'authority'> | null {
  if (!isCrlPath(path) || !path.endsWith(SUFFIX)) return null;
  const id = path.slice(PREFIX.length, -SUFFIX.length);
  return isEntityId('authority', id) ? id : null;
}

const PREFIX = '/crl/';
const SUFFIX = '.crl';
