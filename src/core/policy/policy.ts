import { MINUTE_MS } from '../time/instant.ts';
import { identityFields } from '../http1/identity-field.ts';
import { isKeyUri, type KeySource, readAnchors } from '../oidc/key-source.ts';
import { parseDeclaredKey } from '../oidc/token-key.ts';
import {
  type BoundTokens,
  type AnswerField,
  type CallRate,
  answerFields,
  defaultHttpPolicy,
  type Hsts,
  type HttpPolicy,
  PRELOAD_SECONDS,
} from './http-policy.ts';
import { invalid, readBoolean, readList, readNumber, readObject, readSet, readText, readWord, readWords } from './policy-fields.ts';
import { defaultReplicaPolicy, readReplicas, type ReplicaPolicy } from './replica-policy.ts';
import { tlsGroups, tlsSuites, tlsVersions, type TlsGroup, type TlsSuite, type TlsVersion } from './tls-parameters.ts';

/** How important an endpoint or service is; the cadence of its certificates follows from it. */
export const tiers = ['critical', 'standard'] as const;
export type Tier = (typeof tiers)[number];

/** What TLS must look like on an endpoint, and how its proxies keep it so. Plain data: two equal policies have one digest. */
export type Policy = {
  readonly tls: {
    readonly minimumVersion: TlsVersion;
    readonly maximumVersion: TlsVersion;
    /** In order of preference. */
    readonly groups: readonly TlsGroup[];
    /** For TLS 1.2, in order of preference. */
    readonly suites: readonly TlsSuite[];
  };
  readonly certificates: {
    /** Part of a certificate's life after which it is renewed, in thousandths, by tier. */
    readonly renewAtPermille: { readonly [tier in Tier]: number };
    /** Renewals that one order asks for are spread over this time. */
    readonly renewalSmearMs: number;
  };
  readonly http: HttpPolicy;
  readonly limits: ConnectionLimits;
  readonly replicas: ReplicaPolicy;
  /** Connections of a weaker mode are closed within this time after the mode rose. */
  readonly drainMs: number;
  readonly telemetryIntervalMs: number;
};

/** In each process that serves, in every mode: what keeps a data plane itself alive. */
export type ConnectionLimits = {
  /** Open at a time. */
  readonly connections: number;
  /** Of one address, begun and not admitted yet. */
  readonly handshakesPerAddress: number;
};

export const defaultPolicy: Policy = {
  tls: {
    minimumVersion: '1.2',
    maximumVersion: '1.3',
    groups: ['X25519MLKEM768', 'X25519', 'P-256'],
    suites: [
      'ECDHE-ECDSA-AES128-GCM-SHA256',
      'ECDHE-RSA-AES128-GCM-SHA256',
      'ECDHE-ECDSA-AES256-GCM-SHA384',
      'ECDHE-RSA-AES256-GCM-SHA384',
      'ECDHE-ECDSA-CHACHA20-POLY1305',
      'ECDHE-RSA-CHACHA20-POLY1305',
    ],
  },
  certificates: { renewAtPermille: { critical: 500, standard: 667 }, renewalSmearMs: 2_000 },
  http: defaultHttpPolicy,
  limits: { connections: 16_000, handshakesPerAddress: 1_000 },
  replicas: defaultReplicaPolicy,
  drainMs: 5_000,
  telemetryIntervalMs: 500,
};

/** Reads what a person wrote over the defaults. @throws input-invalid naming the field, what it holds and what was expected */
export function parsePolicy(input: unknown): Policy {
  const spec = readObject('spec', input ?? {}, ['tls', 'certificates', 'http', 'limits', 'replicas', 'drainMs', 'telemetryIntervalMs']);
  const tls = readObject('tls', spec['tls'] ?? {}, Object.keys(defaultPolicy.tls));
  const certificates = readObject('certificates', spec['certificates'] ?? {}, Object.keys(defaultPolicy.certificates));
  const renewal = readObject('certificates.renewAtPermille', certificates['renewAtPermille'] ?? {}, tiers);
  const policy: Policy = {
    tls: {
      minimumVersion: readWord('tls.minimumVersion', tls['minimumVersion'], tlsVersions, defaultPolicy.tls.minimumVersion),
      maximumVersion: readWord('tls.maximumVersion', tls['maximumVersion'], tlsVersions, defaultPolicy.tls.maximumVersion),
      groups: readWords('tls.groups', tls['groups'], tlsGroups, defaultPolicy.tls.groups),
      suites: readWords('tls.suites', tls['suites'], tlsSuites, defaultPolicy.tls.suites),
    },
    certificates: {
      renewAtPermille: {
        critical: readNumber('certificates.renewAtPermille.critical', renewal['critical'], limits.renewAtPermille, 500),
        standard: readNumber('certificates.renewAtPermille.standard', renewal['standard'], limits.renewAtPermille, 667),
      },
      renewalSmearMs: readNumber('certificates.renewalSmearMs', certificates['renewalSmearMs'], limits.renewalSmearMs, 2_000),
    },
    http: readHttp(readObject('http', spec['http'] ?? {}, Object.keys(defaultHttpPolicy))),
    limits: readLimits(readObject('limits', spec['limits'] ?? {}, Object.keys(defaultPolicy.limits))),
    replicas: readReplicas(spec['replicas'] ?? {}),
    drainMs: readNumber('drainMs', spec['drainMs'], limits.drainMs, defaultPolicy.drainMs),
    telemetryIntervalMs: readNumber(
      'telemetryIntervalMs',
      spec['telemetryIntervalMs'],
      limits.telemetryIntervalMs,
      defaultPolicy.telemetryIntervalMs,
    ),
  };
  if (policy.tls.minimumVersion > policy.tls.maximumVersion) {
    throw invalid('tls.minimumVersion', policy.tls.minimumVersion, `at most ${policy.tls.maximumVersion}`);
  }
  return policy;
}

function readLimits({ connections, handshakesPerAddress }: { readonly [key: string]: unknown }): ConnectionLimits {
  const otherwise = defaultPolicy.limits;
  return {
    connections: readNumber('limits.connections', connections, limits.connections, otherwise.connections),
    handshakesPerAddress: readNumber(
      'limits.handshakesPerAddress',
      handshakesPerAddress,
      limits.connections,
      otherwise.handshakesPerAddress,
    ),
  };
}

function readHttp(http: { readonly [key: string]: unknown }): HttpPolicy {
  return {
    hostMatchesSni: readBoolean('http.hostMatchesSni', http['hostMatchesSni']),
    hsts:
      http['hsts'] === undefined
        ? null
        : readHsts(readObject('http.hsts', http['hsts'], ['maxAgeSeconds', 'includeSubDomains', 'preload'])),
    answerFields: readSet('http.answerFields', http['answerFields'] ?? [], Object.keys(answerFields) as AnswerField[]),
    identityFields: readSet('http.identityFields', http['identityFields'] ?? defaultHttpPolicy.identityFields, identityFields),
    maximumBodyOctets:
      http['maximumBodyOctets'] === undefined
        ? null
        : readNumber('http.maximumBodyOctets', http['maximumBodyOctets'], limits.bodyOctets, 0),
    rates: readRates(readObject('http.rates', http['rates'] ?? {}, ['caller', 'endpoint'])),
    boundTokens:
      http['boundTokens'] === undefined
        ? null
        : readTokens(readObject('http.boundTokens', http['boundTokens'], ['issuer', 'audiences', 'keys', 'jwksUri', 'anchorsPem'])),
  };
}

function readRates(rates: { readonly [key: string]: unknown }): HttpPolicy['rates'] {
  return { caller: readRate('http.rates.caller', rates['caller']), endpoint: readRate('http.rates.endpoint', rates['endpoint']) };
}

function readRate(field: string, value: unknown): CallRate | null {
  if (value === undefined) return null;
  const rate = readObject(field, value, ['perSecond', 'burst']);
  const perSecond = readNumber(`${field}.perSecond`, rate['perSecond'], limits.callsPerSecond, 0);
  if (perSecond === 0) throw invalid(`${field}.perSecond`, rate['perSecond'], 'calls a second');
  return { perSecond, burst: readNumber(`${field}.burst`, rate['burst'], limits.callsPerSecond, perSecond) };
}

function readTokens(tokens: { readonly [key: string]: unknown }): BoundTokens {
  const published = tokens['jwksUri'] === undefined ? null : readKeySource(tokens);
  if (published === null && tokens['anchorsPem'] !== undefined) throw invalid('http.boundTokens.anchorsPem', '…', 'a jwksUri beside it');
  if (published !== null && tokens['keys'] !== undefined) throw invalid('http.boundTokens.keys', tokens['keys'], 'none beside jwksUri');
  return {
    issuer: readText('http.boundTokens.issuer', tokens['issuer']),
    audiences: readList('http.boundTokens.audiences', tokens['audiences']).map((item, at) =>
      readText(`http.boundTokens.audiences[${at}]`, item),
    ),
    keys: published === null ? readList('http.boundTokens.keys', tokens['keys']).map(parseDeclaredKey) : [],
    published,
  };
}

function readKeySource(tokens: { readonly [key: string]: unknown }): KeySource {
  const uri = readText('http.boundTokens.jwksUri', tokens['jwksUri']);
  if (!isKeyUri(uri)) throw invalid('http.boundTokens.jwksUri', uri, 'an https URL without credentials, query and fragment');
  const { anchorsPem } = tokens;
  if (anchorsPem === undefined) return { uri, anchorsPem: null };
  const anchors = typeof anchorsPem === 'string' ? readAnchors(anchorsPem) : null;
  if (anchors === null) throw invalid('http.boundTokens.anchorsPem', String(anchorsPem).slice(0, 40), 'certificates as PEM');
  return { uri, anchorsPem: anchors };
}

function readHsts(hsts: { readonly [key: string]: unknown }): Hsts {
  const maxAgeSeconds = readNumber('http.hsts.maxAgeSeconds', hsts['maxAgeSeconds'], limits.hstsSeconds, PRELOAD_SECONDS);
  const includeSubDomains = readBoolean('http.hsts.includeSubDomains', hsts['includeSubDomains']);
  const preload = readBoolean('http.hsts.preload', hsts['preload']);
  if (preload && (!includeSubDomains || maxAgeSeconds < PRELOAD_SECONDS)) {
    throw invalid(
      'http.hsts.preload',
      true,
      `includeSubDomains and at least ${PRELOAD_SECONDS} seconds, without which no list of browsers takes a host`,
    );
  }
  return { maxAgeSeconds, includeSubDomains, preload };
}

const limits = {
  // Before a tenth the authority does nothing but renew; after nine tenths one lost hour is an outage.
  renewAtPermille: [100, 900],
  renewalSmearMs: [0, 60 * MINUTE_MS],
  // What one listening socket takes.
  connections: [1, 20_000],
  // Up to a TiB; a body that is none is no call to refuse.
  bodyOctets: [1, 1_099_511_627_776],
  // Above what one process can serve.
  callsPerSecond: [1, 1_000_000],
  // Two years are the longest in use; 0 tells browsers to forget the host.
  hstsSeconds: [0, 63_072_000],
  drainMs: [0, 10 * MINUTE_MS],
  // Faster costs more than it tells; slower and a rollback is late.
  telemetryIntervalMs: [250, 1_000],
} as const satisfies { readonly [field: string]: readonly [number, number] };
