import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { subjectMark } from '../../src/core/identity/subject-mark.ts';
import { createServer } from 'node:http';
import { request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { compileEnvoy, type EnvoyResources } from '../../src/core/envoy/compile-envoy.ts';
import { preflight } from '../../src/core/envoy/preflight.ts';
import { parseSpiffeId } from '../../src/core/identity/spiffe-id.ts';
import { type InboundSchema, Plane, type ProxySettingsSchema } from '../../src/core/messages/generated/countersign/v1/settings_pb.ts';
import { HOUR_MS } from '../../src/core/time/instant.ts';
import { openCompanionServer } from '../../src/dataplane/envoy/companion-server.ts';
import { putControlPlane, putIdentity, putTicketKeys } from '../../src/dataplane/envoy/companion-secrets.ts';
import { HeldSecrets } from '../../src/dataplane/envoy/held-secrets.ts';
import { makeBootstrap } from '../../src/dataplane/envoy/make-bootstrap.ts';
import { openCredential } from '../../src/dataplane/tls/credential.ts';
import { makeTicketKeys } from '../../src/dataplane/tls/ticket-keys.ts';
import { trustOf } from '../../src/dataplane/tls/trust.ts';
import { ManualClock } from '../../src/platform/clock/clock.ts';
import { type EnvoyProcess, startEnvoy } from './envoy-process.ts';
import { freePort } from './free-port.ts';
import { makeList } from './make-certificate-list.ts';
import { inboundTo, loopback } from './proxy-lab.ts';
import { CONTROL_PLANE, startTestControlPlane, TRUST_DOMAIN } from './test-control-plane.ts';

export const CALLER = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/web`);
const PATIENCE_MS = 20_000;

/**
 * A real Envoy beside the real parts of its companion, at the real listener of the control plane: what it runs is compiled of settings, unless
 * `spoil` puts something else in its place. `isCareful` false: what we know that it would refuse is sent all the same.
 */
export async function openEnvoyBeside(options: { readonly variant?: 'DELTA_GRPC' | 'GRPC' } = {}) {
  const made = {
    isCareful: true,
    spoil: (resources: EnvoyResources): EnvoyResources => resources,
    clock: new ManualClock(Date.now()),
  };
  const control = await startTestControlPlane({
    clock: made.clock,
    envoy: {
      compile: (input) => made.spoil(compileEnvoy(input)),
      preflight: (resources) =>
        (made.isCareful ? preflight(made.clock.now(), resources) : []).map(({ resource, reason }) => ({ ...resource, reason })),
    },
  });
  const { state, proxyId, spiffeId } = await control.joined('orders');
  const folder = await mkdtemp(join(tmpdir(), 'countersign-envoy-'));
  const secrets = new HeldSecrets();
  const companionPath = join(folder, 'sds.sock');
  const companion = await openCompanionServer({ path: companionPath, secrets, onAccessLogs() {}, log: control.log });
  putIdentity(secrets, openCredential((await state.readIdentity())!), null);
  putTicketKeys(secrets, makeTicketKeys());
  putControlPlane(secrets, trustOf(TRUST_DOMAIN, [control.authority.root], []), CONTROL_PLANE);
  const adminPath = join(folder, 'admin.sock');
  const bootstrap = join(folder, 'envoy.json');
  const content = JSON.stringify(makeBootstrap({ proxyId, spiffeId, control: control.control, companionPath, adminPath }));
  await writeFile(bootstrap, content.replace('DELTA_GRPC', options.variant ?? 'DELTA_GRPC'));
  const origin = createServer((request, response) => response.end(`served ${request.url}`));
  await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve));
  const originPort = (origin.address() as AddressInfo).port;
  let envoy: EnvoyProcess = startEnvoy(bootstrap);
  let generation = 0n;
  const admin = (path: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const request = httpRequest({ socketPath: adminPath, path }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve(text));
      });
      request.on('error', reject);
      request.end();
    });
  const until = async (what: string, isSo: () => boolean | Promise<boolean>): Promise<void> => {
    for (const deadline = performance.now() + PATIENCE_MS; !(await isSo()); await new Promise((resolve) => setTimeout(resolve, 20)))
      if (performance.now() > deadline) throw new Error(`Cannot wait any longer until ${what}\n${envoy.said().slice(-3_000)}`);
  };
  const isLive = async (): Promise<boolean> => (await admin('/ready').catch(() => '')).startsWith('LIVE');
  return {
    control,
    made,
    proxyId,
    secrets,
    admin,
    until,
    port: await freePort(),
    caller: control.authority.issue({ uris: [CALLER] }),
    book: control.envoys.book,
    live: () => until('Envoy is live', isLive),
    /** An endpoint in front of a service that answers, in this mode. */
    inbound: (port: number, mode: 'observe' | 'permissive' | 'enforce', more: MessageInitShape<typeof InboundSchema> = {}) =>
      inboundTo(originPort, mode, {
        listen: loopback(port),
        callers: [{ pathId: 'path_01j00000000000000000000000', spiffeId: CALLER, mode: mode === 'enforce' ? 3 : 1 }],
        probeSpiffeId: `spiffe://${TRUST_DOMAIN}/prod/countersign/probe`,
        ...more,
      } as MessageInitShape<typeof InboundSchema>),
    publish(more: MessageInitShape<typeof ProxySettingsSchema> = {}, at = generation + 1n): void {
      generation = at;
      control.setSettings(proxyId, spiffeId, generation, { trustDomain: TRUST_DOMAIN, plane: Plane.ENVOY, ...more });
    },
    /** Suspends or revokes, and hands Envoy the list that says so. */
    async revoke(serials: readonly Uint8Array[]): Promise<void> {
      const { issuing, issuingKey } = control.authority;
      for (const serial of serials) {
        const issuerKeySha256 = new Uint8Array(Buffer.from(issuing.spkiSha256, 'hex'));
        control.revoked.certificates.push({
          $typeName: 'countersign.v1.RevokedCertificate',
          forDrill: false,
          subject: subjectMark(CALLER),
          issuerKeySha256,
          serial: new Uint8Array(serial),
        });
      }
      const revoked = control.revoked.certificates.map(({ serial }) => ({ certificate: { serial } }));
      const times = { thisUpdate: Date.now() - HOUR_MS, nextUpdate: Date.now() + 24 * HOUR_MS };
      const list = makeList({ name: issuing.subject, key: issuingKey }, {
        revoked,
        number: Number(control.revoked.sequence) + 1,
        ...times,
      } as never);
      control.crls.set(issuing.spkiSha256, list.der);
      await control.revokedChanged();
    },
    async restartEnvoy(): Promise<void> {
      await envoy.kill();
      envoy = startEnvoy(bootstrap);
      await until('Envoy is live again', isLive);
    },
    async [Symbol.asyncDispose]() {
      await envoy[Symbol.asyncDispose]();
      await companion[Symbol.asyncDispose]();
      await control[Symbol.asyncDispose]();
      origin.closeAllConnections();
      origin.close();
      await rm(folder, { recursive: true });
    },
  };
}

export type EnvoyBeside = Awaited<ReturnType<typeof openEnvoyBeside>>;
