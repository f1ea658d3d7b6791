import { isIP } from 'node:net';
import type { Authorities } from '../control/ca/authorities.ts';
import { issueControlPlaneCertificate } from '../control/ca/issue-control-plane-certificate.ts';
import type { Instant } from '../core/time/instant.ts';
import type { Clock } from '../platform/clock/clock.ts';
import type { ServerConfig } from '../platform/config/server-config.ts';
import type { ListenerCredentials } from '../protocols/data-plane/data-plane-listener.ts';
import type { State } from './open-state.ts';

/** The control plane's own certificate with its key, and until when it is good. */
export type ServerCredentials = { readonly listener: ListenerCredentials; readonly notBefore: Instant; readonly notAfter: Instant };

/** A new key and certificate for the listeners; the root stands last, where a joining data plane looks for what its token pins. */
export async function makeCredentials(
  { database }: State,
  authorities: Authorities,
  config: ServerConfig,
  clock: Clock,
): Promise<ServerCredentials> {
  const { environment, region, listen, acme, est } = config;
  const acmeHost = acme === null ? [] : [acme.listen.host, ...(acme.externalUrl === null ? [] : [hostOf(acme.externalUrl)])];
  const estHosts = est === null ? [] : [est.listen.host, ...est.serverNames];
  const hosts = [...new Set(['localhost', listen.admin.host, listen.dataPlane.host, ...acmeHost, ...estHosts])];
  const names = { dns: hosts.filter((host) => isIP(host) === 0), ip: hosts.filter((host) => isIP(host) !== 0) };
  const { certificate, privateKey } = await issueControlPlaneCertificate(
    { database, authorities },
    { environment, region, names },
    clock.now(),
  );
  const roots = authorities.roots.map(({ der }) => der);
  return {
    listener: { chain: [...certificate.chain, ...roots], key: privateKey },
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
  };
}

/** Of a URL, without the brackets of an IPv6 address. */
function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[(.*)\]$/, '$1');
}
