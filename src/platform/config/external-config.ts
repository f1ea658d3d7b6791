import { Problem } from '../../core/problems/problem.ts';
import { makeNameResolver } from '../network/name-resolver.ts';
import { parseOutsidePolicy } from '../network/outside-policy.ts';

/** How other CAs, their lists and responders, webhooks, and endpoints that are watched are reached. */
export type ExternalConfig = {
  /** CIDR or CIDR:PORT. */
  readonly allow: readonly string[];
  /** Empty: the system's. */
  readonly dnsServers: readonly string[];
};

export const externalConfigKeys = {
  'external.allow': {
    default: '0.0.0.0/0, ::/0',
    meaning:
      'Ranges (CIDR, or CIDR:PORT for one port) in which other CAs, their CRLs and OCSP responders, DNS webhooks, DNS servers that take updates and watched endpoints are reached. Never own listeners, link-local, or the metadata of clouds.',
  },
  'external.dnsServers': { default: "the system's", meaning: 'DNS servers that their names are asked of, as IP or IP:PORT.' },
} as const;

/** Reads the keys from the flattened configuration; a mistake is told at the start. @throws input-invalid */
export function readExternalConfig(values: ReadonlyMap<string, unknown>): ExternalConfig {
  const allow = readList(values, 'external.allow') ?? externalConfigKeys['external.allow'].default.split(', ');
  const dnsServers = readList(values, 'external.dnsServers') ?? [];
  parseOutsidePolicy(allow, () => []);
  makeNameResolver(dnsServers);
  return { allow, dnsServers };
}

function readList(values: ReadonlyMap<string, unknown>, key: keyof typeof externalConfigKeys): readonly string[] | undefined {
  const value = values.get(key);
  if (value !== undefined && (!Array.isArray(value) || value.some((entry) => typeof entry !== 'string')))
    throw new Problem('input-invalid', `Cannot read configuration: ${key} is not a list of texts`);
  return value as readonly string[] | undefined;
}
