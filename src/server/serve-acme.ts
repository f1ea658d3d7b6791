import { RefusalLog } from '../control/access/refusal-log.ts';
import type { Authorities } from '../control/ca/authorities.ts';
import { MINUTE_MS, SECOND_MS } from '../core/time/instant.ts';
import type { Clock } from '../platform/clock/clock.ts';
import type { AcmeConfig } from '../platform/config/acme-config.ts';
import type { ServerConfig } from '../platform/config/server-config.ts';
import type { Log } from '../platform/log/logger.ts';
import { formatHostPort, type HostPort } from '../platform/network/host-port.ts';
import { makeNameResolver } from '../platform/network/name-resolver.ts';
import { parseOutsidePolicy } from '../platform/network/outside-policy.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import { type AcmeCredentials, type AcmeServer, startAcmeServer } from '../protocols/acme/acme-server.ts';
import type { AcmeSecrets } from '../protocols/acme/acme-secrets.ts';
import type { AcmeSettings } from '../protocols/acme/acme-settings.ts';
import { makeChaos, noChaos } from '../protocols/acme/chaos.ts';
import type { AcmeDeps } from '../protocols/acme/deps.ts';
import { KnownAccounts } from '../protocols/acme/known-accounts.ts';
import { AddressLimit } from '../protocols/acme/limits.ts';
import { Nonces } from '../protocols/acme/nonces.ts';
import { pruneAcme } from '../protocols/acme/prune-acme.ts';
import { makeAcmeUrls } from '../protocols/acme/urls.ts';
import { Validator } from '../protocols/acme/validator.ts';
import type { State } from './open-state.ts';
import { runReconciler } from './run-reconciler.ts';
import type { Signals } from './signals.ts';

export type AcmeOptions = {
  readonly config: ServerConfig;
  readonly acme: AcmeConfig;
  readonly state: State;
  readonly authorities: Authorities;
  readonly secrets: AcmeSecrets;
  readonly credentials: AcmeCredentials;
  /** The listeners that are open besides this one; validations never reach them. */
  readonly ownListeners: () => readonly HostPort[];
  readonly signals: Signals;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

/** Serves ACME, works on its challenges, and takes up again what an earlier process left. */
export async function serveAcme(options: AcmeOptions): Promise<AcmeServer> {
  const { config, acme, state, authorities, secrets, credentials, ownListeners, signals, clock, log, metrics } = options;
  const { database } = state;
  await using stack = new AsyncDisposableStack();
  const { environment, region } = config;
  const chaos = acme.chaos ? makeChaos() : noChaos;
  let own: HostPort = acme.listen;
  const policy = parseOutsidePolicy(acme.validation.allow, () => [...ownListeners(), own]);
  const resolver = makeNameResolver(acme.validation.dnsServers);
  const depsOf = (port: number): AcmeDeps => {
    own = { host: acme.listen.host, port };
    const base = acme.externalUrl ?? `https://${formatHostPort(own)}`;
    const settings = settingsOf(acme, base);
    const urls = makeAcmeUrls(base);
    const shared = { database, accounts: new KnownAccounts(database), settings, urls, chaos, clock, log };
    const validator = stack.use(new Validator({ ...shared, resolver, policy, pausesMs: PAUSES_MS }));
    const resume = { name: 'acme', run: () => validator.resume(clock.now()), wakes: [], intervalMs: 10 * SECOND_MS };
    stack.use(runReconciler(resume, { log, metrics }));
    return {
      ...shared,
      authorities,
      authorityChanged: signals.authorities,
      place: { environment, region },
      secrets,
      nonces: new Nonces(secrets.nonces),
      validator,
      addressLimit: new AddressLimit(acme.limits.accountsPerAddress),
      refusals: new RefusalLog({ database, place: { environment, region } }),
    };
  };
  const server = stack.use(await startAcmeServer({ listen: acme.listen, credentials, depsOf, clock, log }));
  const prune = { name: 'acme-prune', run: () => pruneAcme({ database }, clock.now()), wakes: [], intervalMs: MINUTE_MS };
  stack.use(runReconciler(prune, { log, metrics }));
  const running = stack.move();
  return { port: server.port, setCredentials: server.setCredentials, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

function settingsOf(acme: AcmeConfig, base: string): AcmeSettings {
  const { externalAccountRequired, termsOfService, limits, validation } = acme;
  const host = new URL(base).hostname;
  const named = /[a-z]/.test(host) && !host.startsWith('[') && host !== 'localhost';
  const caaIdentities = acme.caaIdentities ?? (named ? [host] : []);
  return {
    externalAccountRequired,
    termsOfService,
    caaIdentities,
    // A record of dns-persist-01 names the CA by its issuer domain name; one that has none cannot be named.
    challenges: acme.challenges.filter((name) => name !== 'dns-persist-01' || caaIdentities.length > 0),
    limits,
    ports: { http: validation.httpPort, tls: validation.tlsPort },
  };
}

/** A client's own server may need a moment to take up what it was told; the last failure counts. */
const PAUSES_MS = [0, SECOND_MS, 3 * SECOND_MS] as const;
