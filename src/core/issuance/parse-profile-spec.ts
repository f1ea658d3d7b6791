import { Problem } from '../problems/problem.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../time/instant.ts';
import { compileNames } from './permitted-names.ts';
import { type AskerRole, profiles } from './profile.ts';
import {
  approverRoles,
  type Approvals,
  type AskerSpec,
  cadences,
  type Cadence,
  declaredDoors,
  declaredStatuses,
  MAXIMUM_RENEWAL_GRACE_MS,
  profileBases,
  type ProfileSpec,
  purposes,
} from './profile-spec.ts';

/** Reads what a person wrote over the base's own values. @throws input-invalid naming the field, what it holds and what was expected */
export function parseProfileSpec(input: unknown): ProfileSpec {
  const fields = [
    'base',
    'cadence',
    'lifetime',
    'keys',
    'extendedKeyUsage',
    'names',
    'askers',
    'approvals',
    'renewalGrace',
    'status',
    'serverKeys',
    'remoteKeys',
  ];
  const spec = readObject('spec', input ?? {}, fields);
  const base = readWord('base', spec['base'], profileBases, null);
  const own = profiles[base];
  const cadence = spec['cadence'] === undefined ? null : readWord('cadence', spec['cadence'], Object.keys(cadences) as Cadence[], null);
  const parsed: ProfileSpec = {
    base,
    cadence,
    lifetimeMs: readLifetime(spec['lifetime'], own.lifetimeMs, cadence),
    keys: readKeys(spec['keys'], own.keys),
    extendedKeyUsage:
      spec['extendedKeyUsage'] === undefined
        ? basePurposes(base)
        : readList('extendedKeyUsage', spec['extendedKeyUsage'], (item, field) => readWord(field, item, purposes, null)),
    names: readNames(spec['names'], base),
    askers: readAskers(spec['askers'], base),
    approvals: spec['approvals'] === undefined ? null : readApprovals(spec['approvals']),
    renewalGraceMs: spec['renewalGrace'] === undefined ? 0 : readDuration('renewalGrace', spec['renewalGrace'], 0),
    ...(spec['status'] === undefined ? {} : { status: readWord('status', spec['status'], declaredStatuses, null) }),
    ...(readBoolean('serverKeys', spec['serverKeys'], false) ? { serverKeys: true } : {}),
    ...(readBoolean('remoteKeys', spec['remoteKeys'], false) ? { remoteKeys: true } : {}),
  };
  if (parsed.status !== undefined && (base === 'server-shortlived' || cadence === 'short-lived')) {
    throw invalid('status', parsed.status, 'none: it ends before anybody would ask (RFC 9608)');
  }
  if (parsed.renewalGraceMs > MAXIMUM_RENEWAL_GRACE_MS) throw invalid('renewalGrace', spec['renewalGrace'], 'at most 7d');
  if (base === 'server-shortlived' && parsed.lifetimeMs.max > own.lifetimeMs.max) {
    throw invalid('lifetime.max', parsed.lifetimeMs.max, 'at most 7d: it is never revoked (RFC 9608)');
  }
  // CA/B BR 6.1.1.3: nobody but the server itself makes the key of a server.
  if (parsed.serverKeys === true && parsed.extendedKeyUsage.includes('serverAuth'))
    throw invalid('serverKeys', true, 'false, or extendedKeyUsage without serverAuth: the key of a server is made by itself');
  if (parsed.remoteKeys === true && (base !== 'workload' || parsed.approvals !== null))
    throw invalid('remoteKeys', true, 'false, or base workload without approvals: it is for identities whose Envoy others run');
  checkWaiting(parsed);
  return parsed;
}

/** A request that waits for persons is filed by a door at which somebody can come back for it. */
function checkWaiting({ approvals, askers }: ProfileSpec): void {
  if (approvals === null) return;
  for (const door of Object.keys(askers)) {
    const reason = whyNobodyWaits[door as keyof typeof whyNobodyWaits];
    if (reason !== undefined)
      throw invalid('approvals', `with askers.${door}`, `the doors rest, est, scep, cmp and external alone: ${reason}`);
  }
}

const whyNobodyWaits = {
  acme: 'an ACME client gives up within minutes, and its next order is another one',
  join: 'a proxy without a certificate is no proxy yet',
  renewal: 'a renewal that waits is an outage',
} as const;

type LifetimeMs = ProfileSpec['lifetimeMs'];

function readLifetime(value: unknown, own: LifetimeMs, cadence: Cadence | null): LifetimeMs {
  const lifetime = readObject('lifetime', value ?? {}, ['min', 'usual', 'max']);
  const bounds = cadence === null ? null : cadences[cadence];
  const max = readDuration('lifetime.max', lifetime['max'], bounds?.max ?? own.max);
  const usual = readDuration('lifetime.usual', lifetime['usual'], Math.min(own.usual, max));
  const min = readDuration('lifetime.min', lifetime['min'], Math.min(own.min, usual));
  if (max > MAXIMUM_LIFE) throw invalid('lifetime.max', lifetime['max'], 'at most 398d');
  if (min > usual || usual > max) throw invalid('lifetime', { min, usual, max }, 'min <= usual <= max');
  if (bounds !== null && (max > bounds.max || max < bounds.min)) {
    throw invalid('lifetime.max', lifetime['max'], `${bounds.min / HOUR_MS} to ${bounds.max / HOUR_MS} hours for cadence ${cadence}`);
  }
  return { min, usual, max };
}

function readKeys(value: unknown, own: ProfileSpec['keys']): ProfileSpec['keys'] {
  const keys = readObject('keys', value ?? {}, ['curves', 'ed25519', 'rsa']);
  const rsa = keys['rsa'] === undefined || keys['rsa'] === false ? null : readObject('keys.rsa', keys['rsa'], ['min', 'max']);
  const bits = {
    min: readCount('keys.rsa.min', rsa?.['min'], [2_048, 8_192], 2_048),
    max: readCount('keys.rsa.max', rsa?.['max'], [2_048, 8_192], 4_096),
  };
  if (bits.min > bits.max) throw invalid('keys.rsa', bits, 'min <= max');
  const curves =
    keys['curves'] === undefined
      ? own.curves
      : readList('keys.curves', keys['curves'], (item, field) => readWord(field, item, own.curves, null));
  return {
    curves,
    ed25519: readBoolean('keys.ed25519', keys['ed25519'], own.ed25519),
    rsaBits: keys['rsa'] === undefined ? own.rsaBits : rsa && bits,
  };
}

function readNames(value: unknown, base: ProfileSpec['base']): ProfileSpec['names'] {
  const names = readObject('names', value ?? {}, ['dns', 'ip', 'services', 'wildcards']);
  const read = (key: string): readonly string[] | null =>
    names[key] === undefined ? null : readList(`names.${key}`, names[key], (item, field) => readText(field, item), 0);
  const spec = {
    dns: read('dns'),
    ip: read('ip'),
    services: read('services'),
    wildcards: readBoolean('names.wildcards', names['wildcards'], false),
  };
  if (spec.services !== null && base !== 'workload')
    throw invalid('names.services', spec.services, 'none: only a workload has a SPIFFE ID');
  try {
    compileNames(spec);
  } catch (cause) {
    if (!(cause instanceof Problem)) throw cause;
    throw new Problem('input-invalid', `Cannot read profile: names, ${cause.message}`, { cause });
  }
  return spec;
}

function readAskers(value: unknown, base: ProfileSpec['base']): ProfileSpec['askers'] {
  const own = profiles[base].askers;
  if (value === undefined) {
    return Object.fromEntries(
      declaredDoors.flatMap((door) => (own[door] ? [[door, { roles: own[door], identities: null }] as const] : [])),
    );
  }
  const askers = readObject('askers', value, declaredDoors);
  const doors = declaredDoors.filter((door) => askers[door] !== undefined);
  return Object.fromEntries(
    doors.map((door) => {
      const allowed = own[door];
      // A role that the base does not know at this door is not one that the door can prove.
      if (allowed === undefined) throw invalid(`askers.${door}`, 'a door', `one of ${Object.keys(own).join(', ')} for base ${base}`);
      return [door, readAsker(`askers.${door}`, askers[door], allowed)];
    }),
  );
}

function readAsker(field: string, value: unknown, allowed: readonly AskerRole[]): AskerSpec {
  const asker = readObject(field, value, ['roles', 'identities']);
  return {
    roles:
      asker['roles'] === undefined
        ? allowed
        : readList(`${field}.roles`, asker['roles'], (item, place) => readWord(place, item, allowed, null)),
    identities:
      asker['identities'] === undefined
        ? null
        : readList(`${field}.identities`, asker['identities'], (item, place) => readText(place, item)),
  };
}

function readApprovals(value: unknown): Approvals {
  const approvals = readObject('approvals', value, ['count', 'role', 'within']);
  const withinMs = readDuration('approvals.within', approvals['within'], DAY_MS);
  if (withinMs > MAXIMUM_WAIT) throw invalid('approvals.within', approvals['within'], 'at most 30d');
  return {
    count: readCount('approvals.count', approvals['count'], [1, 10], 1),
    role: readWord('approvals.role', approvals['role'], approverRoles, 'operator'),
    withinMs,
  };
}

function basePurposes(base: ProfileSpec['base']): ProfileSpec['extendedKeyUsage'] {
  return base === 'workload' ? purposes : ['serverAuth'];
}

function readObject(field: string, value: unknown, keys: readonly string[]): { readonly [key: string]: unknown } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(field, value, 'keys and values');
  for (const key of Object.keys(value)) if (!keys.includes(key)) throw invalid(field, key, `only ${keys.join(', ')}`);
  return value as { readonly [key: string]: unknown };
}

function readWord<Word extends string>(field: string, value: unknown, words: readonly Word[], otherwise: Word | null): Word {
  const word = value === undefined && otherwise !== null ? otherwise : words.find((known) => known === value);
  if (word === undefined) throw invalid(field, value, `one of ${words.join(', ')}`);
  return word;
}

function readList<T>(field: string, value: unknown, read: (item: unknown, field: string) => T, least = 1): readonly T[] {
  const isList = Array.isArray(value) && value.length >= least && value.length <= MAXIMUM_ITEMS && new Set(value).size === value.length;
  if (!isList) throw invalid(field, value, `a list of ${least} to ${MAXIMUM_ITEMS} items, each once`);
  return value.map((item, index) => read(item, `${field}[${index}]`));
}

function readText(field: string, value: unknown): string {
  if (typeof value !== 'string' || !/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,300}$/u.test(value))
    throw invalid(field, value, 'text of 1 to 300 characters');
  return value;
}

function readBoolean(field: string, value: unknown, otherwise: boolean): boolean {
  if (value !== undefined && typeof value !== 'boolean') throw invalid(field, value, 'true or false');
  return value ?? otherwise;
}

function readCount(field: string, value: unknown, [low, high]: readonly [number, number], otherwise: number): number {
  const number = value ?? otherwise;
  if (typeof number !== 'number' || !Number.isInteger(number) || number < low || number > high)
    throw invalid(field, value, `an integer from ${low} to ${high}`);
  return number;
}

/** A number with its unit: `90d`, `36h`, `30m`, `45s`. In milliseconds. */
function readDuration(field: string, value: unknown, otherwise: number): number {
  if (value === undefined) return otherwise;
  const [, digits, unit] = (typeof value === 'string' && /^([1-9][0-9]{0,6})([smhd])$/.exec(value)) || [];
  if (digits === undefined || unit === undefined) throw invalid(field, value, 'a number with its unit, such as 90d, 36h, 30m or 45s');
  return Number(digits) * { s: SECOND_MS, m: MINUTE_MS, h: HOUR_MS, d: DAY_MS }[unit as 's' | 'm' | 'h' | 'd'];
}

function invalid(field: string, value: unknown, expected: string): Problem {
  const held = String(JSON.stringify(value)).slice(0, 100);
  return new Problem('input-invalid', `Cannot read profile: ${field} holds ${held}, expected ${expected}`);
}

/** CA/B BR 6.3.2 of old; no later rule is longer. */
const MAXIMUM_LIFE = 398 * DAY_MS;
const MAXIMUM_WAIT = 30 * DAY_MS;
const MAXIMUM_ITEMS = 1_000;
