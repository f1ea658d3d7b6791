import { profileNamePattern } from '../../core/issuance/profile-spec.ts';
import { Problem } from '../../core/problems/problem.ts';
import { HOUR_MS, MINUTE_MS, SECOND_MS } from '../../core/time/instant.ts';
import { type HostPort, parseHostPort } from '../network/host-port.ts';

/** How EST is served; null in the configuration as a whole: it is not. */
export type EstConfig = {
  readonly listen: HostPort;
  /** DNS names and addresses, besides that of `listen`, under which clients reach it. */
  readonly serverNames: readonly string[];
  /** Of requests to the path without a label. */
  readonly profile: string;
  /** Labels whose requests have to be bound to their TLS session; the empty text is the path without one, `*` all of them. */
  readonly bound: readonly string[];
  /** After how long a client is to ask again for what waits for approval. */
  readonly retryAfterMs: number;
};

/** The keys of EST, each with its default and what it means. */
export const estConfigKeys = {
  'listen.est': {
    default: 'not served',
    meaning:
      'HTTPS address of EST (RFC 7030), under /.well-known/est there. TLS 1.2 is allowed on this listener, because its clients know no other.',
  },
  'est.serverNames': {
    default: 'none',
    meaning: "DNS names and addresses under which clients reach listen.est, besides its own: they stand in the listener's certificate.",
  },
  'est.profile': { default: 'server', meaning: 'Profile of requests to /.well-known/est without a label.' },
  'est.bound': {
    default: 'none',
    meaning:
      'Labels (PROFILE or ENVIRONMENT.PROFILE; "" for the path without one, "*" for all) whose requests have to be bound to their TLS session by a challengePassword (RFC 7030 section 3.5). One that is there has to be right at every label.',
  },
  'est.retryAfter': {
    default: '1m',
    meaning: 'After how long a client is to ask again for what waits for approval (Retry-After), such as 30s, 1m or 1h.',
  },
} as const;

/** Reads the keys from the flattened configuration. @throws input-invalid, also if EST is configured and not served */
export function readEstConfig(values: ReadonlyMap<string, unknown>): EstConfig | null {
  const listen = values.get('listen.est');
  if (listen === undefined) {
    const stray = [...values.keys()].find((key) => key.startsWith('est.'));
    if (stray !== undefined) throw invalid(`${stray} without listen.est, which says where EST is served`);
    return null;
  }
  if (typeof listen !== 'string') throw invalid('listen.est is not text');
  const profile = values.get('est.profile') ?? estConfigKeys['est.profile'].default;
  if (typeof profile !== 'string' || !profileNamePattern.test(profile)) throw invalid('est.profile is not the name of a profile');
  return {
    listen: parseHostPort(listen),
    serverNames: readTexts(values, 'est.serverNames'),
    profile,
    bound: readTexts(values, 'est.bound'),
    retryAfterMs: readWait(values.get('est.retryAfter') ?? estConfigKeys['est.retryAfter'].default),
  };
}

function readTexts(values: ReadonlyMap<string, unknown>, key: keyof typeof estConfigKeys): readonly string[] {
  const value = values.get(key) ?? [];
  if (!Array.isArray(value) || value.some((entry) => typeof entry !== 'string')) throw invalid(`${key} is not a list of texts`);
  return value as readonly string[];
}

function readWait(value: unknown): number {
  const [, digits, unit] = (typeof value === 'string' && /^([1-9]\d{0,3})([smh])$/.exec(value)) || [];
  if (digits === undefined) throw invalid('est.retryAfter is not a number with its unit, such as 30s, 1m or 1h');
  return Number(digits) * (unit === 's' ? SECOND_MS : unit === 'm' ? MINUTE_MS : HOUR_MS);
}

function invalid(what: string): Problem {
  return new Problem('input-invalid', `Cannot read configuration: ${what}`);
}
