import { createHmac } from 'node:crypto';
import type { Role } from '../../control/access/role.ts';
import type { DoorGrant } from '../../control/grants/door-grant.ts';
import { type GrantRequest, makeGrant, type Maker, type WantedBounds } from '../../control/grants/make-grant.ts';
import { Secret } from '../../core/secrets/secret.ts';
import type { Instant } from '../../core/time/instant.ts';

export type SecretRequest = Pick<GrantRequest, 'environment' | 'region' | 'uses' | 'ttlMs'> & {
  readonly name: string;
  readonly role: Role;
  readonly bounds: WantedBounds;
};

/** Makes a grant for so many certificates of one profile and exactly these names, with the secret that a device proves to know. It is derived and stored nowhere. @throws what `makeGrant` throws */
export async function makeSecret(
  { root, ...deps }: Parameters<typeof makeGrant>[0] & { readonly root: Secret<Uint8Array> },
  request: SecretRequest,
  maker: Maker,
  now: Instant,
): Promise<{ readonly grant: DoorGrant; readonly secret: Secret }> {
  const grant = await makeGrant(deps, { ...request, door: 'cmp' }, maker, now);
  return { grant, secret: secretOf(root, grant.id) };
}

/** The secret of this id, as a text that is typed into devices; its octets are the key of the MAC. */
export function secretOf(root: Secret<Uint8Array>, id: string): Secret {
  return new Secret(createHmac('sha256', root.reveal()).update('countersign cmp secret v1\0').update(id).digest('base64url'));
}
