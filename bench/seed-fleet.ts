import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { profileForJoin } from '../src/core/issuance/profile.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../src/core/x509/certificate-request.ts';
import { encodePem } from '../src/core/x509/pem.ts';
import { issueCertificate } from '../src/control/ca/issue-certificate.ts';
import { registerProxy } from '../src/control/fleet/register-proxy.ts';
import { applyDeclaration } from '../src/control/inventory/apply-declaration.ts';
import { parseDeclaration } from '../src/control/inventory/parse-declaration.ts';
import type { Plane } from '../src/control/inventory/record.ts';
import { listDeclaredProxies } from '../src/control/inventory/store.ts';
import { systemClock } from '../src/platform/clock/clock.ts';
import { makeSignal } from '../src/platform/clock/signal.ts';
import { readServerConfig } from '../src/platform/config/server-config.ts';
import { dataPlaneAsker } from '../src/protocols/enrollment/data-plane-asker.ts';
import { openOrMakeAuthorities, openState } from '../src/server/open-state.ts';

/** What one data plane of the fleet shows and is. */
export type FleetMember = { readonly proxyId: string; readonly chainPem: string };
export type SeededFleet = { readonly members: readonly FleetMember[]; readonly keyPem: string };

/**
 * Declares so many sidecars and gives each its certificate, by the same door as a join would: only the transport is left out, and all share one key,
 * because making keys is the data planes' own work.
 */
export async function seedFleet(configFile: string, size: number, plane: Plane = 'native'): Promise<SeededFleet> {
  const config = readServerConfig(configFile);
  const clock = systemClock;
  await using state = await openState({ config, clock });
  const { database } = state;
  const authorities = await openOrMakeAuthorities(state, config, clock);
  const { trustDomain, environment, region } = config;
  const actor = { kind: 'person', name: 'bench' } as const;
  for (let first = 0; first < size; first += DECLARED_AT_ONCE) {
    const text = documents(first, Math.min(size, first + DECLARED_AT_ONCE), plane);
    await applyDeclaration(
      { database, place: { trustDomain, environment, region }, changed: makeSignal() },
      parseDeclaration(text),
      actor,
      clock.now(),
    );
  }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const proxies = await listDeclaredProxies(database.queries, '*');
  const issue = async (proxy: (typeof proxies)[number]): Promise<FleetMember> => {
    const { id: proxyId, spiffeId, name: proxyName, role } = proxy;
    const issued = await issueCertificate(
      { database, authorities },
      {
        door: 'join',
        profile: profileForJoin('data-plane'),
        ...dataPlaneAsker(spiffeId, environment, 'data-plane'),
        csr: parseCertificateRequest(csrFor(spiffeId, privateKey)),
        spiffeId,
        names: { dns: [], ip: [] },
        proxyId,
        environment,
        region,
        claim: (unit) =>
          registerProxy(unit, { proxyId, proxyName, spiffeId, role, environment, region, version: 'bench', capabilities: [] }, clock.now()),
      },
      clock.now(),
    );
    return { proxyId, chainPem: issued.chain.map((der) => encodePem('CERTIFICATE', der)).join('') };
  };
  const members: FleetMember[] = [];
  // Together, so that they share commits.
  for (let at = 0; at < proxies.length; at += ISSUED_AT_ONCE) {
    members.push(...(await Promise.all(proxies.slice(at, at + ISSUED_AT_ONCE).map(issue))));
  }
  return { members, keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string };
}

/** The same for Envoys whose endpoints refuse nobody yet: what stands in answers, which is in routes. */
export function answersPolicyDocument(maxAgeSeconds: number): string {
  return `apiVersion: countersign/v1\nkind: Policy\nname: default\nhttp: { hsts: { maxAgeSeconds: ${maxAgeSeconds} } }\n`;
}

/** For Envoys whose endpoints are enforced: the lowest version of TLS, which is in listeners. */
export function tlsPolicyDocument(minimumVersion: '1.2' | '1.3'): string {
  return `apiVersion: countersign/v1\nkind: Policy\nname: default\ntls: { minimumVersion: "${minimumVersion}" }\n`;
}

/** The change that goes to all: how long a connection of an older mode may stay. */
export function policyDocument(drainMs: number): string {
  return `apiVersion: countersign/v1\nkind: Policy\nname: default\ndrainMs: ${drainMs}\n`;
}

function csrFor(spiffeId: string, key: KeyObject): Uint8Array {
  return buildCertificateRequest({ uris: [spiffeId], dnsNames: [], ipAddresses: [] }, key);
}

function documents(first: number, end: number, plane: Plane): string {
  const services = ['web', 'api'].map((name) => `apiVersion: countersign/v1\nkind: Service\nname: ${name}\nowner: bench\n`);
  const endpoint = `apiVersion: countersign/v1\nkind: Endpoint\nname: api\nservice: api\nprotocol: http\naddresses: ["10.0.0.1:8111"]\nowner: bench\nallowedCallers: [web]\n`;
  const proxies = Array.from({ length: end - first }, (_, index) => {
    const number = first + index;
    const listen = `10.0.${number >> 8}.${number & 255}:8111`;
    return `apiVersion: countersign/v1\nkind: Proxy\nname: api-${number}\nservice: api\nrole: sidecar\nplane: ${plane}\ninbound: [{ endpoint: api, listen: "${listen}", upstream: "127.0.0.1:8080" }]\n`;
  });
  return [...services, endpoint, ...proxies].join('---\n');
}

/** A declaration has a bound. */
const DECLARED_AT_ONCE = 500;
const ISSUED_AT_ONCE = 64;
