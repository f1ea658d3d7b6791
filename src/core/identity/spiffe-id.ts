import { Problem } from '../problems/problem.ts';
import { parseTrustDomain, type TrustDomain } from './trust-domain.ts';

/** The URI of a workload, `spiffe://<trust domain>/<path>`, in the only spelling that the standard allows (SPIFFE-ID section 2). */
export type SpiffeId = string & { readonly brand: 'SpiffeId' };

/** @throws identity-malformed */
export function parseSpiffeId(text: string): SpiffeId {
  const match = text.length <= MAX_OCTETS ? PATTERN.exec(text) : null;
  if (
    !match ||
    match[2]!
      .split('/')
      .slice(1)
      .some((segment) => segment === '.' || segment === '..')
  ) {
    throw new Problem(
      'identity-malformed',
      `Cannot parse SPIFFE ID: ${JSON.stringify(text.slice(0, 300))}, expected spiffe://<trust domain>/<path>`,
    );
  }
  parseTrustDomain(match[1]!);
  return text as SpiffeId;
}

/** The identity of a service: `spiffe://<trust domain>/<environment>/<name>`. @throws identity-malformed */
export function serviceSpiffeId(trustDomain: TrustDomain, environment: string, name: string): SpiffeId {
  return parseSpiffeId(`spiffe://${trustDomain}/${environment}/${name}`);
}

export function trustDomainOf(id: SpiffeId): TrustDomain {
  return id.slice(9, id.indexOf('/', 9)) as TrustDomain;
}

/** The first path segment, which names the environment in this house. */
export function environmentOf(id: SpiffeId): string {
  return id.split('/')[3]!;
}

/** Names under `/<environment>/countersign/` belong to Countersign itself; no workload can be issued one. */
export function isReservedSpiffeId(id: SpiffeId): boolean {
  return id.split('/')[4] === RESERVED_SEGMENT;
}

export function probeSpiffeId(trustDomain: TrustDomain, environment: string): SpiffeId {
  return parseSpiffeId(`spiffe://${trustDomain}/${environment}/${RESERVED_SEGMENT}/probe`);
}

/** The control plane's own identity, the only one that data planes take orders from. */
export function controlPlaneSpiffeId(trustDomain: TrustDomain, environment: string): SpiffeId {
  return parseSpiffeId(`spiffe://${trustDomain}/${environment}/${RESERVED_SEGMENT}/control-plane`);
}

const RESERVED_SEGMENT = 'countersign';
const MAX_OCTETS = 2048;
const PATTERN = /^spiffe:\/\/([a-z0-9._-]{1,255})((?:\/[a-zA-Z0-9._-]+)+)$/;
