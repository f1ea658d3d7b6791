import { resolve } from 'node:path';
import { Problem } from '../../core/problems/problem.ts';
import { type HostPort, parseHostPort } from '../network/host-port.ts';
import { makeNameResolver } from '../network/name-resolver.ts';
import { parseOutsidePolicy } from '../network/outside-policy.ts';

/** Where other trust domains fetch our bundle, and how theirs are fetched. */
export type FederationConfig = {
  /** By a certificate of ours; null: not served so. */
  readonly spiffeListen: HostPort | null;
  /** By a certificate that the operator has of some other CA; null: not served so. */
  readonly web: { readonly listen: HostPort; readonly certificateFile: string; readonly keyFile: string } | null;
  /** CIDR or CIDR:PORT. */
  readonly allow: readonly string[];
  /** Empty: the system's. */
  readonly dnsServers: readonly string[];
};

export const federationConfigKeys = {
  'listen.bundleSpiffe': {
    default: 'not served',
    meaning: "HTTPS address at which other trust domains fetch our bundle by profile https_spiffe, with the control plane's own SVID.",
  },
  'listen.bundleWeb': {
    default: 'not served',
    meaning: 'The same by profile https_web, with the certificate of federation.certificateFile.',
  },
  'federation.certificateFile': { default: 'none', meaning: 'PEM chain for listen.bundleWeb, leaf first; read again when it changes.' },
  'federation.keyFile': { default: 'none', meaning: 'PEM private key of federation.certificateFile.' },
  'federation.allow': {
    default: '0.0.0.0/0, ::/0',
    meaning:
      'Ranges (CIDR, or CIDR:PORT for one port) in which bundle endpoints of other trust domains are reached. Never own listeners, link-local, or the metadata of clouds.',
  },
  'federation.dnsServers': { default: "the system's", meaning: 'DNS servers that their names are asked of, as IP or IP:PORT.' },
} as const;
type FederationKey = keyof typeof federationConfigKeys;

/** Reads the keys from the flattened configuration; relative paths are taken from `base`. @throws input-invalid */
export function readFederationConfig(values: ReadonlyMap<string, unknown>, base: string): FederationConfig {
  const spiffeListen = readText(values, 'listen.bundleSpiffe');
  const allow = readList(values, 'federation.allow') ?? federationConfigKeys['federation.allow'].default.split(', ');
  const dnsServers = readList(values, 'federation.dnsServers') ?? [];
  // A mistake is told at the start; our own listeners are not known yet.
  parseOutsidePolicy(allow, () => []);
  makeNameResolver(dnsServers);
  return { spiffeListen: spiffeListen === undefined ? null : parseHostPort(spiffeListen), web: readWeb(values, base), allow, dnsServers };
}

function readWeb(values: ReadonlyMap<string, unknown>, base: string): FederationConfig['web'] {
  const keys = ['listen.bundleWeb', 'federation.certificateFile', 'federation.keyFile'] as const;
  const [listen, certificateFile, keyFile] = keys.map((key) => readText(values, key));
  if (listen === undefined && certificateFile === undefined && keyFile === undefined) return null;
  if (listen === undefined || certificateFile === undefined || keyFile === undefined) {
    throw new Problem('input-invalid', `Cannot read configuration: expected ${keys.join(', ')} together or none of them`);
  }
  return { listen: parseHostPort(listen), certificateFile: resolve(base, certificateFile), keyFile: resolve(base, keyFile) };
}

function readText(values: ReadonlyMap<string, unknown>, key: FederationKey): string | undefined {
  const value = values.get(key);
  if (value !== undefined && typeof value !== 'string') throw new Problem('input-invalid', `Cannot read configuration: ${key} is not text`);
  return value;
}

function readList(values: ReadonlyMap<string, unknown>, key: FederationKey): readonly string[] | undefined {
  const value = values.get(key);
  if (value !== undefined && (!Array.isArray(value) || value.some((entry) => typeof entry !== 'string')))
    throw new Problem('input-invalid', `Cannot read configuration: ${key} is not a list of texts`);
  return value as readonly string[] | undefined;
}
