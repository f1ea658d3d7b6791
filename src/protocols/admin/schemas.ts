import { Type } from 'typebox';
import type { ProfileName } from '../../core/issuance/profile.ts';

/** The parts that the routes' schemas are made of. Nothing is coerced, nothing unknown is dropped: it is refused. */
export const strict = { additionalProperties: false } as const;

export const label = Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' });
export const name = Type.String({ pattern: '^[a-z0-9][a-z0-9._-]{0,62}$' });
export const line = Type.String({ minLength: 1, maxLength: 200, pattern: '^[^\\u0000-\\u001f\\u007f]*$' });
export const reason = Type.String({ maxLength: 500, pattern: '^[^\\u0000-\\u001f\\u007f]*$' });
export const spiffeId = Type.String({ pattern: '^spiffe://', maxLength: 2_048 });
/** Content octets of a serial number, lower case hex. */
export const serial = Type.String({ pattern: '^([0-9a-f]{2}){1,21}$' });
export const pageLimit = Type.String({ pattern: '^([1-9][0-9]{0,2}|1000)$' });
export const count = Type.String({ pattern: '^[0-9]{1,15}$' });
export const instant = Type.Integer({ minimum: 0, maximum: 8_640_000_000_000_000 });

export const csrText = Type.String({ minLength: 1, maxLength: 32_768 });
/** One of the product's profiles or a declared one; issuance says whether there is one of this name. */
export const profileName = Type.Unsafe<ProfileName>(label);
export const dnsNames = Type.Optional(Type.Array(Type.String({ maxLength: 253 }), { maxItems: 100 }));
export const ipAddresses = Type.Optional(Type.Array(Type.String({ maxLength: 45 }), { maxItems: 100 }));
export const lifetimeMs = Type.Optional(Type.Integer({ minimum: 1_000, maximum: 34_560_000_000 }));
/** The last certificate of the page before, as an answer's `next` has it. */
export const pageCursor = Type.String({ pattern: '^[0-9]{1,16}-[0-9a-f]{2,42}$' });

export const idOf = (kind: string) => Type.String({ pattern: `^${kind}_[0-9a-hjkmnp-tv-z]{26}$` });

/** The query of a list that may be narrowed to one environment. */
export const inEnvironment = Type.Object({ environment: Type.Optional(label) }, strict);

/** A schema of one of these words. */
export const words = <const Words extends readonly [string, ...string[]]>(all: Words) => Type.Enum(all as unknown as Words[number][]);
