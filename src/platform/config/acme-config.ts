import { Problem } from '../../core/problems/problem.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../../core/time/instant.ts';
import { type HostPort, parseHostPort } from '../network/host-port.ts';
import { parseOutsidePolicy } from '../network/outside-policy.ts';

/** So many at once, and as many again in each period. */
export type RateConfig = { readonly burst: number; readonly periodMs: number };

/** The ways to prove control of a name that this house knows, by the names that ACME gives them. The last two are drafts. */
export const acmeChallengeNames = ['http-01', 'tls-alpn-01', 'dns-01', 'dns-account-01', 'dns-persist-01'] as const;
export type AcmeChallengeName = (typeof acmeChallengeNames)[number];

/** How ACME is served; null in the configuration as a whole: it is not. */
export type AcmeConfig = {
  readonly listen: HostPort;
  /** Base URL without a slash at its end; null: https and where it listens. */
  readonly externalUrl: string | null;
  readonly externalAccountRequired: boolean;
  readonly termsOfService: string | null;
  /** Null: the host of the external URL, if it is a name. */
  readonly caaIdentities: readonly string[] | null;
  readonly chaos: boolean;
  /** Offered, in the order of `acmeChallengeNames`; at least one. */
  readonly challenges: readonly AcmeChallengeName[];
  readonly limits: { readonly accountsPerAddress: RateConfig; readonly ordersPerAccount: RateConfig; readonly ordersPerName: RateConfig };
  readonly validation: {
    /** CIDR or CIDR:PORT. */
    readonly allow: readonly string[];
    /** Empty: the system's. */
    readonly dnsServers: readonly string[];
    readonly httpPort: number;
    readonly tlsPort: number;
  };
};

/** The keys of ACME, each with its default and what it means. */
export const acmeConfigKeys = {
  'listen.acme': { default: 'not served', meaning: 'HTTPS address of ACME (RFC 8555); the directory is /acme/directory there.' },
  'acme.externalUrl': {
    default: 'https:// and listen.acme',
    meaning: 'https URL under which clients reach listen.acme. Every URL that ACME hands out begins with it; a Host header never decides.',
  },
  'acme.externalAccountRequired': {
    default: 'false',
    meaning: 'true: a new account needs a binding token, made by an operator (RFC 8555 section 7.3.4).',
  },
  'acme.termsOfService': { default: 'none', meaning: 'URL of the terms that every account must agree to.' },
  'acme.caaIdentities': {
    default: 'the host of acme.externalUrl, if it is a name',
    meaning: 'Issuer domain names of CAA records that mean this CA (RFC 8659); an empty list: CAA is not asked.',
  },
  'acme.chaos': {
    default: 'false',
    meaning: 'true: be difficult as the RFC allows, to test clients: good nonces refused, validations late, lists in pages of three.',
  },
  'acme.challenges': {
    default: 'http-01, tls-alpn-01, dns-01',
    meaning:
      'Challenges that are offered. Besides these, two drafts may be named: dns-account-01 (draft-ietf-acme-dns-account-label-01) and dns-persist-01 (draft-ietf-acme-dns-persist-00), which needs acme.caaIdentities.',
  },
  'acme.limits.accountsPerAddress': {
    default: '100/1h',
    meaning: 'New accounts from one address: so many at once, and as many again in each period.',
  },
  'acme.limits.ordersPerAccount': { default: '3000/1h', meaning: 'Orders of one account.' },
  'acme.limits.ordersPerName': {
    default: '100/1h',
    meaning: 'Orders of one account for one name. Renewals that ARI announced are exempt.',
  },
  'acme.validation.allow': {
    default: '10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7',
    meaning:
      'Ranges that validations may connect to (CIDR, or CIDR:PORT for one port). Never own listeners, link-local, or the metadata of clouds.',
  },
  'acme.validation.dnsServers': { default: "the system's", meaning: 'DNS servers that names, TXT and CAA are asked of, as IP or IP:PORT.' },
  'acme.validation.httpPort': { default: '80', meaning: 'Port of http-01. Another one than 80 is for tests.' },
  'acme.validation.tlsPort': { default: '443', meaning: 'Port of tls-alpn-01. Another one than 443 is for tests.' },
} as const;
type AcmeKey = keyof typeof acmeConfigKeys;

/** Reads the keys from the flattened configuration. @throws input-invalid, also if ACME is configured and not served */
export function readAcmeConfig(values: ReadonlyMap<string, unknown>): AcmeConfig | null {
  const listen = values.get('listen.acme');
  if (listen === undefined) {
    const stray = [...values.keys()].find((key) => key.startsWith('acme.'));
    if (stray !== undefined) throw invalid(`${stray} without listen.acme, which says where ACME is served`);
    return null;
  }
  const read = readerOf(values);
  return {
    listen: parseHostPort(read.text('listen.acme') ?? ''),
    externalUrl: readUrl('acme.externalUrl', read.text('acme.externalUrl'), true),
    externalAccountRequired: read.flag('acme.externalAccountRequired'),
    termsOfService: readUrl('acme.termsOfService', read.text('acme.termsOfService'), false),
    caaIdentities: read.list('acme.caaIdentities')?.map((name) => name.toLowerCase()) ?? null,
    chaos: read.flag('acme.chaos'),
    challenges: readChallenges(read),
    limits: {
      accountsPerAddress: readRate(read, 'acme.limits.accountsPerAddress'),
      ordersPerAccount: readRate(read, 'acme.limits.ordersPerAccount'),
      ordersPerName: readRate(read, 'acme.limits.ordersPerName'),
    },
    validation: {
      allow: readRanges(read.list('acme.validation.allow') ?? acmeConfigKeys['acme.validation.allow'].default.split(', ')),
      dnsServers: read.list('acme.validation.dnsServers') ?? [],
      httpPort: read.port('acme.validation.httpPort'),
      tlsPort: read.port('acme.validation.tlsPort'),
    },
  };
}

type Reader = ReturnType<typeof readerOf>;

function readerOf(values: ReadonlyMap<string, unknown>) {
  const text = (key: AcmeKey): string | undefined => {
    const value = values.get(key);
    if (value !== undefined && typeof value !== 'string') throw invalid(`${key} is not text`);
    return value;
  };
  return {
    text,
    flag: (key: AcmeKey): boolean => {
      const value = values.get(key) ?? false;
      if (typeof value !== 'boolean') throw invalid(`${key} is neither true nor false`);
      return value;
    },
    list: (key: AcmeKey): readonly string[] | undefined => {
      const value = values.get(key);
      if (value !== undefined && (!Array.isArray(value) || value.some((entry) => typeof entry !== 'string'))) {
        throw invalid(`${key} is not a list of texts`);
      }
      return value as readonly string[] | undefined;
    },
    port: (key: AcmeKey): number => {
      const value = values.get(key) ?? Number(acmeConfigKeys[key].default);
      if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > 65_535) throw invalid(`${key} is no port`);
      return value as number;
    },
  };
}

/** @throws input-invalid for an unknown name or none at all */
function readChallenges(read: Reader): readonly AcmeChallengeName[] {
  const named = read.list('acme.challenges') ?? acmeConfigKeys['acme.challenges'].default.split(', ');
  const stranger = named.find((name) => !(acmeChallengeNames as readonly string[]).includes(name));
  if (stranger !== undefined || named.length === 0) {
    throw invalid(
      `acme.challenges names ${JSON.stringify(stranger?.slice(0, 60) ?? 'none')}, expected some of ${acmeChallengeNames.join(', ')}`,
    );
  }
  return acmeChallengeNames.filter((name) => named.includes(name));
}

/** Checked here, so that a mistake is told at the start; our own listeners are not known yet. */
function readRanges(ranges: readonly string[]): readonly string[] {
  parseOutsidePolicy(ranges, () => []);
  return ranges;
}

function readUrl(key: AcmeKey, value: string | undefined, bare: boolean): string | null {
  if (value === undefined) return null;
  const url = URL.canParse(value) ? new URL(value) : null;
  const fits = url !== null && url.protocol === 'https:' && url.username === '' && (!bare || url.origin === value.replace(/\/$/, ''));
  if (!fits) throw invalid(`${key} is ${JSON.stringify(value.slice(0, 200))}, expected an https URL${bare ? ' without a path' : ''}`);
  return bare ? url.origin : value;
}

/** `100/1h`. */
function readRate(read: Reader, key: AcmeKey): RateConfig {
  const text = read.text(key) ?? acmeConfigKeys[key].default;
  const match = /^([1-9]\d{0,8})\/([1-9]\d{0,3})([smhd])$/.exec(text);
  if (match === null) throw invalid(`${key} is ${JSON.stringify(text.slice(0, 60))}, expected COUNT/PERIOD such as 100/1h`);
  const units = { s: SECOND_MS, m: MINUTE_MS, h: HOUR_MS, d: DAY_MS } as const;
  return { burst: Number(match[1]), periodMs: Number(match[2]) * units[match[3] as keyof typeof units] };
}

function invalid(what: string): Problem {
  return new Problem('input-invalid', `Cannot read configuration: ${what}`);
}
