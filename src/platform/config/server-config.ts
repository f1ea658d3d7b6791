import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { parseTrustDomain, type TrustDomain } from '../../core/identity/trust-domain.ts';
import { Problem } from '../../core/problems/problem.ts';
import { type HostPort, parseHostPort } from '../network/host-port.ts';
import { type ExternalConfig, externalConfigKeys, readExternalConfig } from './external-config.ts';
import { type FederationConfig, federationConfigKeys, readFederationConfig } from './federation-config.ts';
import { type AcmeConfig, acmeConfigKeys, readAcmeConfig } from './acme-config.ts';
import { type ScepConfig, readScepConfig, scepConfigKeys } from './scep-config.ts';
import { type EstConfig, estConfigKeys, readEstConfig } from './est-config.ts';
import { type CmpConfig, cmpConfigKeys, readCmpConfig } from './cmp-config.ts';
import { type AddressPolicy, parseAddressPolicy } from '../network/address-policy.ts';

/** The control plane's configuration, parsed once; docs/configuration.md is held against `serverConfigKeys`. */
export type ServerConfig = {
  readonly dataDirectory: string;
  readonly key: { readonly kind: 'file'; readonly path: string } | { readonly kind: 'passphrase-file'; readonly path: string };
  readonly trustDomain: TrustDomain;
  readonly environment: string;
  readonly region: string;
  /** `sqlite:PATH` or `postgres://…`. */
  readonly database: string;
  readonly listen: { readonly admin: HostPort; readonly dataPlane: HostPort; readonly public: HostPort };
  /** `http://HOST[:PORT]` under which clients reach listen.public; null: as it listens. */
  readonly publicUrl: string | null;
  /** File of digests of keys that are never certified; null: only keys whose certificate was revoked for keyCompromise. */
  readonly blockedKeysFile: string | null;
  readonly network: AddressPolicy;
  /** Null: ACME is not served. */
  readonly acme: AcmeConfig | null;
  /** Null: EST is not served. */
  readonly est: EstConfig | null;
  /** Null: CMP is not served. */
  readonly cmp: CmpConfig | null;
  /** Null: SCEP is not served. */
  readonly scep: ScepConfig | null;
  readonly external: ExternalConfig;
  readonly federation: FederationConfig;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
};

/** Every key, with its default and what it means. A key that is not here is an error. */
export const serverConfigKeys = {
  dataDirectory: { default: null, meaning: 'Directory of everything the server writes; made with mode 0700.' },
  keyFile: {
    default: null,
    meaning: 'File of 32 random octets (mode 0600) that encrypts all keys at rest. Made at first start. Not inside dataDirectory.',
  },
  passphraseFile: { default: null, meaning: 'File that holds a passphrase instead of keyFile. Not inside dataDirectory.' },
  trustDomain: { default: null, meaning: 'SPIFFE trust domain of all identities.' },
  environment: { default: 'production', meaning: 'Environment of the control plane and default of declarations.' },
  region: { default: 'local', meaning: 'Region of the control plane and default of declarations.' },
  database: {
    default: 'sqlite:countersign.sqlite in dataDirectory',
    meaning: 'sqlite:PATH or postgres://USER@HOST/NAME; the password comes by PGPASSFILE.',
  },
  'listen.admin': { default: '127.0.0.1:8443', meaning: 'HTTPS address of the REST API.' },
  'listen.dataPlane': { default: '127.0.0.1:8444', meaning: 'Address of enrolment, ADS and telemetry (gRPC over TLS 1.3).' },
  'listen.public': {
    default: '127.0.0.1:8080',
    meaning: 'Plain HTTP address of CRLs, OCSP, certificates of authorities, the log checkpoint, and of the http-01 answers for other CAs.',
  },
  publicUrl: {
    default: 'http:// and listen.public',
    meaning:
      'http URL under which clients reach listen.public; stands in every certificate that the authorities made at first start will issue.',
  },
  blockedKeysFile: {
    default: null,
    meaning:
      'File of keys that are never certified, one a line in hex: SHA-256 of a SubjectPublicKeyInfo, or 20 digits of a list of Debian weak keys. Read at start.',
  },
  'network.allow': { default: '127.0.0.0/8', meaning: 'Ranges that discovery, scans and drills may connect to (CIDR).' },
  ...acmeConfigKeys,
  ...estConfigKeys,
  ...cmpConfigKeys,
  ...scepConfigKeys,
  ...externalConfigKeys,
  ...federationConfigKeys,
  logLevel: { default: 'info', meaning: 'debug, info, warn or error.' },
} as const;

/** @throws input-invalid naming the key, what it holds and what was expected */
export function readServerConfig(file: string): ServerConfig {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new Problem('input-invalid', `Cannot read configuration: ${file}, expected a readable YAML file`, { cause });
  }
  return parseServerConfig(text, dirname(resolve(file)));
}

/** Relative paths are taken from `base`. @throws input-invalid */
export function parseServerConfig(text: string, base: string): ServerConfig {
  const values = flatten(parseYaml(text));
  for (const key of values.keys()) {
    if (!Object.hasOwn(serverConfigKeys, key)) throw new Problem('input-invalid', `Cannot read configuration: unknown key ${key}`);
  }
  const text1 = (key: keyof typeof serverConfigKeys): string | undefined => {
    const value = values.get(key);
    if (value === undefined) return undefined;
    if (typeof value !== 'string') throw new Problem('input-invalid', `Cannot read configuration: ${key} is not text`);
    return value;
  };
  const needed = (key: keyof typeof serverConfigKeys): string => {
    const value = text1(key);
    if (value === undefined) throw new Problem('input-invalid', `Cannot read configuration: ${key} is missing`);
    return value;
  };
  const dataDirectory = resolve(base, needed('dataDirectory'));
  return {
    dataDirectory,
    key: readKeySource(text1('keyFile'), text1('passphraseFile'), base),
    trustDomain: parseTrustDomain(needed('trustDomain')),
    environment: readLabel('environment', text1('environment') ?? serverConfigKeys.environment.default),
    region: readLabel('region', text1('region') ?? serverConfigKeys.region.default),
    database: readDatabase(text1('database'), dataDirectory, base),
    listen: {
      admin: parseHostPort(text1('listen.admin') ?? serverConfigKeys['listen.admin'].default),
      dataPlane: parseHostPort(text1('listen.dataPlane') ?? serverConfigKeys['listen.dataPlane'].default),
      public: parseHostPort(text1('listen.public') ?? serverConfigKeys['listen.public'].default),
    },
    publicUrl: readPublicUrl(text1('publicUrl')),
    blockedKeysFile: text1('blockedKeysFile') === undefined ? null : resolve(base, text1('blockedKeysFile')!),
    network: parseAddressPolicy(readRanges(values.get('network.allow'))),
    acme: readAcmeConfig(values),
    est: readEstConfig(values),
    cmp: readCmpConfig(values),
    scep: readScepConfig(values),
    external: readExternalConfig(values),
    federation: readFederationConfig(values, base),
    logLevel: readLogLevel(text1('logLevel') ?? serverConfigKeys.logLevel.default),
  };
}

function parseYaml(text: string): unknown {
  if (text.length > MAXIMUM_CHARACTERS)
    throw new Problem('input-invalid', `Cannot read configuration: ${text.length} characters, expected at most ${MAXIMUM_CHARACTERS}`);
  try {
    return parse(text, { maxAliasCount: 0, strict: true, uniqueKeys: true });
  } catch (cause) {
    throw new Problem('input-invalid', `Cannot read configuration: ${(cause as Error).message.split('\n')[0]}`, { cause });
  }
}

/** Up to three levels of keys as `a.b.c`; a list stays a value. */
function flatten(value: unknown): Map<string, unknown> {
  if (!isTable(value)) throw new Problem('input-invalid', 'Cannot read configuration: expected keys at the top level');
  const flat = new Map<string, unknown>();
  const walk = (table: object, prefix: string, depth: number): void => {
    for (const [key, inner] of Object.entries(table)) {
      if (isTable(inner) && depth < MAXIMUM_DEPTH) walk(inner, `${prefix}${key}.`, depth + 1);
      else flat.set(`${prefix}${key}`, inner);
    }
  };
  walk(value, '', 1);
  return flat;
}

function isTable(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readKeySource(keyFile: string | undefined, passphraseFile: string | undefined, base: string): ServerConfig['key'] {
  if (keyFile !== undefined && passphraseFile === undefined) return { kind: 'file', path: resolve(base, keyFile) };
  if (passphraseFile !== undefined && keyFile === undefined) return { kind: 'passphrase-file', path: resolve(base, passphraseFile) };
  throw new Problem('input-invalid', 'Cannot read configuration: expected exactly one of keyFile and passphraseFile');
}

function readDatabase(url: string | undefined, dataDirectory: string, base: string): string {
  if (url === undefined) return `sqlite:${resolve(dataDirectory, 'countersign.sqlite')}`;
  if (url.startsWith('sqlite:')) return `sqlite:${resolve(base, url.slice('sqlite:'.length))}`;
  if (/^postgres(ql)?:\/\//.test(url)) return url;
  throw new Problem('input-invalid', 'Cannot read configuration: database is neither sqlite:PATH nor postgres://…');
}

function readLabel(key: string, value: string): string {
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(value))
    throw new Problem('input-invalid', `Cannot read configuration: ${key} is ${JSON.stringify(value)}, expected [a-z0-9-], at most 63`);
  return value;
}

/** Plain http only: a list behind TLS could not be fetched to judge that TLS (RFC 5280 section 8). */
function readPublicUrl(value: string | undefined): string | null {
  if (value === undefined) return null;
  const url = URL.canParse(value) ? new URL(value) : null;
  if (url === null || url.protocol !== 'http:' || url.origin !== value.replace(/\/$/, '')) {
    throw new Problem(
      'input-invalid',
      `Cannot read configuration: publicUrl is ${JSON.stringify(value.slice(0, 200))}, expected http://HOST[:PORT]`,
    );
  }
  return url.origin;
}

function readRanges(value: unknown): readonly string[] {
  if (value === undefined) return [serverConfigKeys['network.allow'].default];
  if (!Array.isArray(value) || value.some((range) => typeof range !== 'string'))
    throw new Problem('input-invalid', 'Cannot read configuration: network.allow is not a list of CIDR ranges');
  return value as string[];
}

function readLogLevel(value: string): ServerConfig['logLevel'] {
  if (value === 'debug' || value === 'info' || value === 'warn' || value === 'error') return value;
  throw new Problem(
    'input-invalid',
    `Cannot read configuration: logLevel is ${JSON.stringify(value)}, expected debug, info, warn or error`,
  );
}

const MAXIMUM_CHARACTERS = 1_000_000;
const MAXIMUM_DEPTH = 3;
