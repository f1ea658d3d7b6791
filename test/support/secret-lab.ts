import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findCertificate } from '../../src/control/ca/certificate-store.ts';
import { KeyDeliveries } from '../../src/control/ca/deliver-key.ts';
import { FleetLists } from '../../src/control/ca/fleet-lists.ts';
import type { IssuedCertificate } from '../../src/control/ca/issuance-request.ts';
import { issueCertificate } from '../../src/control/ca/issue-certificate.ts';
import { issueControlPlaneCertificate } from '../../src/control/ca/issue-control-plane-certificate.ts';
import { readRevokedSet } from '../../src/control/ca/revoked-set.ts';
import { builtInProfiles, overlayProfiles } from '../../src/control/policies/declared-profiles.ts';
import type { SpiffeId } from '../../src/core/identity/spiffe-id.ts';
import { serviceSpiffeId } from '../../src/core/identity/spiffe-id.ts';
import { parseProfileSpec } from '../../src/core/issuance/parse-profile-spec.ts';
import type { ProfileName } from '../../src/core/issuance/profile.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../../src/core/x509/certificate-request.ts';
import { encodePem } from '../../src/core/x509/pem.ts';
import { openRpcConnection, type RpcConnection } from '../../src/dataplane/link/rpc-connection.ts';
import { ManualClock } from '../../src/platform/clock/clock.ts';
import type { Log } from '../../src/platform/log/logger.ts';
import { authenticateNode, dismissalOf } from '../../src/protocols/data-plane/authenticate-node.ts';
import { openDataPlaneListener } from '../../src/protocols/data-plane/data-plane-listener.ts';
import { openRevokedIndex } from '../../src/protocols/data-plane/revoked-index.ts';
import { secretMethods } from '../../src/protocols/xds/secret-streams.ts';
import { ada, openTestAuthorities, place, trustDomain } from './authorities.ts';

export const KEYS = 'delivered' as ProfileName;
export const NO_KEYS = 'own-keys' as ProfileName;
export type Holder = { readonly issued: IssuedCertificate; readonly key: KeyObject; readonly spiffeId: SpiffeId };

/** A real CA at the real listener, which hands out secrets; the clock stands at the real time. */
export async function openSecretLab(options: { readonly replacedAfterMs?: number } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-sds-'));
  const clock = new ManualClock(Date.now());
  const ca = await openTestAuthorities(`sqlite:${join(folder, 'state.sqlite')}`, clock.now());
  const { database } = ca;
  const base = { base: 'workload', askers: { rest: { roles: ['operator'] }, renewal: { roles: ['holder'] } } };
  const lifetime = { min: '10m', usual: '1h', max: '1h' };
  const profiles = overlayProfiles(builtInProfiles, [
    { environment: place.environment, name: KEYS, spec: parseProfileSpec({ ...base, lifetime, remoteKeys: true }) },
    { environment: place.environment, name: NO_KEYS, spec: parseProfileSpec(base) },
  ]);
  const authorities = { ...ca.authorities, profiles };
  const deps = { database, authorities };
  const lists = new FleetLists(deps);
  const deliveries = new KeyDeliveries(deps);
  const logged: string[] = [];
  const revoked = await openRevokedIndex(() => readRevokedSet(database.queries));
  const log: Log = (_level, event) => void logged.push(event);
  const own = await issueControlPlaneCertificate(deps, { ...place, names: { dns: [], ip: ['127.0.0.1'] } }, clock.now());
  const root = authorities.roots[0]!;
  const listener = await openDataPlaneListener({
    host: '127.0.0.1',
    port: 0,
    credentials: { chain: [...own.certificate.chain, root.der], key: own.privateKey },
    authenticate: (chain) =>
      authenticateNode(
        {
          trust: () => ({ anchors: authorities.roots, intermediates: authorities.issuing.map(({ certificate }) => certificate) }),
          findCertificate: (issuer, serial) => findCertificate(database.queries, issuer, serial),
          graceMs: () => 0,
          revoked,
          clock,
        },
        chain,
      ),
    dismissal: (holder) => dismissalOf(clock.now(), revoked, holder),
    methods: secretMethods({
      ...options,
      clock,
      log,
      authoritiesChanged: ca.changed,
      async readTrust() {
        return { roots: authorities.roots.map(({ der }) => der), crls: [...(await lists.read(clock.now())).values()] };
      },
      async deliver({ issuerKeySha256, serialHex }, now) {
        const made = await deliveries.deliver({ issuerKeySha256, serial: Buffer.from(serialHex, 'hex') }, now);
        if (made === null) return null;
        const { chain, notBefore, notAfter } = made.issued;
        const chainPem = chain.map((der) => encodePem('CERTIFICATE', der)).join('');
        const keyPem = made.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
        return { serialHex: made.issued.serialHex, chainPem, keyPem, notBefore, notAfter };
      },
    }),
    clock,
    log,
  });
  const connections: RpcConnection[] = [];
  return {
    ca,
    clock,
    listener,
    logged,
    control: { host: '127.0.0.1', port: listener.port },
    /** Who holds a certificate that a person asked for. */
    async holder(name: string, profile: ProfileName, more: Partial<Parameters<typeof issueCertificate>[1]> = {}): Promise<Holder> {
      const { privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const spiffeId = serviceSpiffeId(trustDomain, place.environment, name);
      const issued = await issueCertificate(
        deps,
        {
          door: 'rest',
          profile,
          asker: { role: 'operator', scope: [place.environment], spiffeId: null },
          actor: ada,
          csr: parseCertificateRequest(buildCertificateRequest({}, key)),
          spiffeId,
          names: { dns: [], ip: [] },
          proxyId: null,
          ...place,
          ...more,
        },
        clock.now(),
      );
      return { issued, key, spiffeId };
    },
    async connect({ issued, key }: Holder): Promise<RpcConnection> {
      const connection = await openRpcConnection({
        control: { host: '127.0.0.1', port: listener.port },
        certificate: { chain: issued.chain, key },
        judge: () => {},
      });
      connections.push(connection);
      return connection;
    },
    /** As the server does when the revoked set changed. */
    async revokedChanged(): Promise<void> {
      await revoked.refresh();
      listener.recheck();
      ca.changed.notify();
    },
    rootPem: encodePem('CERTIFICATE', root.der),
    async [Symbol.asyncDispose]() {
      for (const connection of connections) connection.destroy();
      await listener[Symbol.asyncDispose]();
      await ca[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}
