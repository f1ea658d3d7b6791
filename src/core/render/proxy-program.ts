import type { TlsGroup } from '../policy/tls-parameters.ts';
import { refused } from './rendered-value.ts';

/** Proxies that a configuration is written for. */
export const proxyKinds = ['nginx', 'haproxy', 'caddy', 'envoy', 'node'] as const;
export type ProxyKind = (typeof proxyKinds)[number];

/** Which program will read the configuration, as far as it decides what can be said to it. */
export type ProxyProgram = {
  readonly kind: ProxyKind;
  readonly version: ProgramVersion;
  /** Of the OpenSSL that it runs on; null where it brings its own TLS. */
  readonly openssl: ProgramVersion | null;
  /** How nginx has njs; null: not at all, or it is another proxy. */
  readonly njs: Njs | null;
};

export type ProgramVersion = readonly number[];

const njsKinds = ['module', 'built-in'] as const;
export type Njs = (typeof njsKinds)[number];

/** Without a version, the one that is examined in the tests. @throws input-invalid for what is no version, or too old to be hardened */
export function parseProxyProgram(
  kind: ProxyKind,
  {
    version,
    openssl,
    njs,
  }: { readonly version: string | undefined; readonly openssl: string | undefined; readonly njs: string | undefined },
): ProxyProgram {
  const { examined, oldest, usesOpenssl } = programs[kind];
  const parsed = parseVersion('--for-version', version ?? examined);
  if (!isAtLeast(parsed, oldest)) throw refused(`for ${kind}`, parsed.join('.'), `${oldest.join('.')} or later`);
  if (openssl !== undefined && !usesOpenssl) throw refused(`for ${kind}`, openssl, 'no --openssl: it brings its own TLS');
  return {
    kind,
    version: parsed,
    openssl: usesOpenssl ? parseVersion('--openssl', openssl ?? EXAMINED_OPENSSL) : null,
    njs: njs === undefined ? null : parseNjs(kind, njs),
  };
}

/** The version that the tests run, by which a configuration is written where none is given. */
export function examinedVersionOf(kind: ProxyKind): string {
  const { examined, usesOpenssl } = programs[kind];
  return `${kind} ${examined}${usesOpenssl ? ` on OpenSSL ${EXAMINED_OPENSSL}` : ''}`;
}

/** `nginx 1.22.1 on OpenSSL 3.0.0`. */
export function describeProgram({ kind, version, openssl }: ProxyProgram): string {
  return `${kind} ${version.join('.')}${openssl === null ? '' : ` on OpenSSL ${openssl.join('.')}`}`;
}

export function isAtLeast(version: ProgramVersion, wanted: ProgramVersion): boolean {
  const at = wanted.findIndex((number, index) => (version[index] ?? 0) !== number);
  return at === -1 || (version[at] ?? 0) > wanted[at]!;
}

/** The groups that this program can be told to agree keys by, with its own name for each. */
export function groupNamesOf(program: ProxyProgram): ReadonlyMap<TlsGroup, string> {
  const { classic, hybrid } = programs[program.kind];
  const knowsHybrid =
    program.openssl === null ? isAtLeast(program.version, programs[program.kind].hybridSince) : isAtLeast(program.openssl, [3, 5]);
  return new Map([...(knowsHybrid ? hybrid : []), ...classic]);
}

function parseNjs(kind: ProxyKind, text: string): Njs {
  const njs = njsKinds.find((known) => known === text);
  if (njs === undefined || kind !== 'nginx') throw refused('--njs', text, `${njsKinds.join(' or ')}, of nginx`);
  return njs;
}

function parseVersion(what: string, text: string): ProgramVersion {
  if (!/^[0-9]{1,4}(?:\.[0-9]{1,4}){0,3}$/.test(text)) throw refused(what, text, 'numbers with dots between them, such as 1.22.1');
  return text.split('.').map(Number);
}

type Names = readonly (readonly [TlsGroup, string])[];

const opensslClassic: Names = [
  ['X25519', 'X25519'],
  ['P-256', 'P-256'],
  ['P-384', 'P-384'],
];
const opensslHybrid: Names = [
  ['X25519MLKEM768', 'X25519MLKEM768'],
  ['SecP256r1MLKEM768', 'SecP256r1MLKEM768'],
  ['SecP384r1MLKEM1024', 'SecP384r1MLKEM1024'],
];
const NEVER: ProgramVersion = [Number.MAX_SAFE_INTEGER];

/** The OpenSSL of Debian 12, which knows no ML-KEM: whoever has a newer one says so. */
const EXAMINED_OPENSSL = '3.0';

const programs: {
  readonly [kind in ProxyKind]: {
    readonly examined: string;
    readonly oldest: ProgramVersion;
    readonly usesOpenssl: boolean;
    readonly classic: Names;
    readonly hybrid: Names;
    /** The version from which it speaks hybrid groups, where its TLS is its own. */
    readonly hybridSince: ProgramVersion;
  };
} = {
  // ssl_reject_handshake and ssl_conf_command came with 1.19.4.
  nginx: { examined: '1.22.1', oldest: [1, 20], usesOpenssl: true, classic: opensslClassic, hybrid: opensslHybrid, hybridSince: NEVER },
  haproxy: { examined: '2.6.12', oldest: [2, 6], usesOpenssl: true, classic: opensslClassic, hybrid: opensslHybrid, hybridSince: NEVER },
  caddy: {
    examined: '2.11.7',
    // The trust pools of client_auth came with 2.8.
    oldest: [2, 8],
    usesOpenssl: false,
    classic: [
      ['X25519', 'x25519'],
      ['P-256', 'secp256r1'],
      ['P-384', 'secp384r1'],
    ],
    hybrid: [['X25519MLKEM768', 'x25519mlkem768']],
    hybridSince: [2, 10],
  },
  envoy: {
    examined: '1.40.0',
    // signature_algorithms and the connection limit are older; what is older than this was never run.
    oldest: [1, 34],
    usesOpenssl: false,
    classic: opensslClassic,
    hybrid: [['X25519MLKEM768', 'X25519MLKEM768']],
    hybridSince: [1, 40],
  },
  // Node brings the OpenSSL 3.5 that knows ML-KEM since 24.5.
  node: { examined: '26.10.0', oldest: [22], usesOpenssl: false, classic: opensslClassic, hybrid: opensslHybrid, hybridSince: [24, 5] },
};
