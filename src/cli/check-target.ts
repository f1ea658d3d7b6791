import { isIP } from 'node:net';
import type { Speech } from '../dataplane/scanner/scan-posture.ts';
import type { TargetPlace } from '../core/findings/check-report.ts';
import type { PostureDemands } from '../core/findings/posture-demands.ts';
import { parseDnsName } from '../core/identity/dns-name.ts';
import { parseIpAddress } from '../core/identity/ip-address.ts';
import type { Policy } from '../core/policy/policy.ts';
import { Problem } from '../core/problems/problem.ts';
import type { Certificate } from '../core/x509/certificate.ts';
import type { ReferenceIdentity } from '../core/x509/service-identity.ts';

/** One endpoint to be checked, with all that it is held against. */
export type CheckTarget = {
  /** How reports call it. */
  readonly name: string;
  readonly place: TargetPlace | null;
  readonly host: string;
  readonly port: number;
  readonly serverName: string | null;
  readonly speech: Speech;
  readonly policy: Policy;
  readonly identity: ReferenceIdentity;
  /** `public`: the roots that Node carries. */
  readonly anchors: readonly Certificate[] | 'public';
  readonly clientCertificate: PostureDemands['clientCertificate'];
};

export type HostAndPort = { readonly host: string; readonly port: number };

/** `HOST`, `HOST:PORT`, `[IPv6]:PORT` or an https URL; port 443 unless said. @throws input-invalid */
export function parseTarget(text: string): HostAndPort {
  const bare = text.replace(/^https:\/\//i, '').replace(/\/$/, '');
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::(\d{1,5}))?$/.exec(bare);
  const host = (match?.[1] ?? match?.[2] ?? '').toLowerCase();
  const port = Number(match?.[3] ?? HTTPS_PORT);
  if (match === null || port < 1 || port > 65_535 || (match[1] !== undefined && isIP(host) !== 6)) {
    throw new Problem('input-invalid', `Cannot read target: ${JSON.stringify(text.slice(0, 100))}, expected HOST:PORT`);
  }
  // An address that is none, such as 10.0.0.300, would be asked of the DNS.
  if (isIP(host) === 0) parseDnsName(host);
  return { host, port };
}

/** By the name that a client would look for: the server name, or else the host. @throws input-invalid */
export function identityOfHost(name: string): ReferenceIdentity {
  return isIP(name) === 0 ? { kind: 'dns', name: parseDnsName(name) } : { kind: 'ip', address: parseIpAddress(name) };
}

export function nameOfTarget({ host, port }: HostAndPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

const HTTPS_PORT = 443;
