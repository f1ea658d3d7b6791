import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, BoundSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import type { Inbound } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Outcome, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { REVOKED_SET_TYPE, SETTINGS_TYPE, TICKET_KEYS_TYPE } from '../../core/messages/type-urls.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { callInClear, callOverTls, clientOptions, ENDPOINT, inboundTo, loopback } from '../../../test/support/proxy-lab.ts';
import { startTestControlPlane, type TestControlPlane, TRUST_DOMAIN } from '../../../test/support/test-control-plane.ts';
import { runProxy, type RunningProxy, type RunProxyOptions } from './run-proxy.ts';
import { inheritedSockets } from './socket-activation.ts';

const CALLER = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/storefront`);
const origin: Server = createServer((request, response) => void request.resume().on('end', () => response.end('ok')));
await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve));
const { port: originPort } = origin.address() as AddressInfo;
after(() => {
  origin.close();
  origin.closeAllConnections();
});

function inbound(mode: 'permissive' | 'enforce', port: number): Inbound {
  return inboundTo(originPort, mode, {
    listen: loopback(port),
    probeSpiffeId: '',
    callers: [{ pathId: 'path_01j00000000000000000000000', spiffeId: CALLER, mode: mode === 'enforce' ? 3 : 2 }],
  });
}

/** A port that stays ours: bound, not listening. */
function takePort(): { readonly socket: BoundSocket; readonly port: number } {
  const socket = new BoundSocket({ host: '127.0.0.1', port: 0 });
  return { socket, port: (socket.address() as AddressInfo).port };
}

/** A number of a port that nobody uses just now. */
function freePort(): number {
  const { socket, port } = takePort();
  socket.close();
  return port;
}

function run(control: TestControlPlane, state: RunProxyOptions['state']): Promise<RunningProxy> {
  return runProxy({
    control: control.control,
    state,
    joinToken: null,
    upstreamTrustFile: null,
    clock: control.clock,
    log: control.log,
    env: {},
  });
}

test('a proxy runs what the control plane says, acknowledges it, and reports what it counted', async () => {
  await using control = await startTestControlPlane();
  const { state, proxyId, spiffeId } = await control.joined('orders');
  control.scope.serves.add(ENDPOINT);
  const port = freePort();
  control.setSettings(proxyId, spiffeId, 1n, { inbound: [inbound('enforce', port)], telemetryIntervalMs: 100 });
  await using proxy = await run(control, state);
  assert.equal((await control.acknowledgement(SETTINGS_TYPE)).refusal, undefined);
  const caller = clientOptions(control.enrol(CALLER, proxyId));
  assert.match((await callOverTls(port, caller)).text, /^HTTP\/1\.1 200 /);
  assert.equal(await callInClear(port), '');
  const report = await control.report(({ refusals }) => refusals.length > 0);
  assert.equal(report.refusals[0]!.reason, 'plaintext');
  assert.equal(report.generation, 1n);
  assert.equal(Buffer.from(report.served[0]!.serial).toString('hex'), ownSerial(proxy));
  const calls = await control.report(({ counts }) =>
    counts.some(({ unit, outcome }) => unit === Unit.CALL && outcome === Outcome.ACCEPTED),
  );
  assert.equal(calls.counts.find(({ unit }) => unit === Unit.CALL)!.caller, CALLER);
});

test('a revocation by the control plane is in force when it is acknowledged', async () => {
  await using control = await startTestControlPlane();
  const { state, proxyId, spiffeId } = await control.joined('orders');
  control.scope.serves.add(ENDPOINT);
  const port = freePort();
  control.setSettings(proxyId, spiffeId, 1n, { inbound: [inbound('enforce', port)] });
  await using _ = await run(control, state);
  await control.acknowledgement(SETTINGS_TYPE);
  const caller = clientOptions(control.enrol(CALLER, proxyId));
  assert.match((await callOverTls(port, caller)).text, /^HTTP\/1\.1 200 /);
  const before = control.acknowledged.filter(({ typeUrl }) => typeUrl === REVOKED_SET_TYPE).length;
  control.revoked.suspendedSpiffeIds.push(CALLER);
  await control.revokedChanged();
  await control.acknowledgement(
    REVOKED_SET_TYPE,
    () => control.acknowledged.filter(({ typeUrl }) => typeUrl === REVOKED_SET_TYPE).length > before,
  );
  assert.equal((await callOverTls(port, caller)).text, '');
});

test('two replicas resume each other’s sessions by the ticket keys that the control plane delivers, and leave no trace of them on disk', async () => {
  await using control = await startTestControlPlane();
  control.scope.serves.add(ENDPOINT);
  const replicas = [await control.joined('orders'), await control.joined('orders')] as const;
  const ports = [freePort(), freePort()] as const;
  const keys = { spiffeId: replicas[0].spiffeId, sealing: randomBytes(48), accepted: [randomBytes(48), randomBytes(48)] };
  replicas.forEach(({ proxyId, spiffeId }, index) =>
    control.setSettings(proxyId, spiffeId, 1n, { inbound: [inbound('enforce', ports[index]!)] }),
  );
  control.setTicketKeys(
    replicas.map(({ proxyId }) => proxyId),
    'key_1',
    keys,
  );
  await using first = await run(control, replicas[0].state);
  await using second = await run(control, replicas[1].state);
  for (const { proxyId } of replicas) await control.acknowledgement(SETTINGS_TYPE, (found) => found.proxyId === proxyId);
  for (const { proxyId } of replicas) await control.acknowledgement(TICKET_KEYS_TYPE, (found) => found.proxyId === proxyId);
  const caller = clientOptions(control.enrol(CALLER, replicas[0].proxyId));
  const { session } = await callOverTls(ports[0], caller);
  const seen = await callOverTls(ports[1], { ...caller, session: session! });
  assert.equal(seen.resumed, true);
  assert.match(seen.text, /^HTTP\/1\.1 200 /);
  await Promise.all([first.stop(0), second.stop(0)]);
  for (const { state } of replicas) {
    for (const name of await readdir(state.path)) {
      const content = await readFile(join(state.path, name));
      for (const key of [keys.sealing, ...keys.accepted]) assert.equal(content.includes(key), false, name);
    }
  }
  const logged = JSON.stringify(control.logged);
  for (const form of ['hex', 'base64'] as const) assert.equal(logged.includes(keys.sealing.toString(form)), false);
});

test('ticket keys that cannot be used are refused, and sessions go on under those of before', async () => {
  await using control = await startTestControlPlane();
  control.scope.serves.add(ENDPOINT);
  const { state, proxyId, spiffeId } = await control.joined('orders');
  const port = freePort();
  control.setSettings(proxyId, spiffeId, 1n, { inbound: [inbound('enforce', port)] });
  control.setTicketKeys([proxyId], 'key_1', { spiffeId, sealing: randomBytes(48), accepted: [] });
  await using _ = await run(control, state);
  await control.acknowledgement(SETTINGS_TYPE);
  const caller = clientOptions(control.enrol(CALLER, proxyId));
  const { session } = await callOverTls(port, caller);
  control.setTicketKeys([proxyId], 'key_2', { spiffeId, sealing: randomBytes(16), accepted: [] });
  const { refusal } = await control.acknowledgement(TICKET_KEYS_TYPE, ({ version }) => version === 'key_2');
  assert.match(refusal!, /a key of 16 octets/);
  assert.equal((await callOverTls(port, { ...caller, session: session! })).resumed, true);
});

test('a renewed certificate is served without a restart', async () => {
  await using control = await startTestControlPlane();
  const { state, proxyId, spiffeId } = await control.joined('orders');
  control.scope.serves.add(ENDPOINT);
  control.setSettings(proxyId, spiffeId, 1n, { inbound: [inbound('enforce', freePort())], telemetryIntervalMs: 100 });
  await using proxy = await run(control, state);
  await control.acknowledgement(SETTINGS_TYPE);
  const before = ownSerial(proxy);
  await proxy.link.renew();
  assert.notEqual(ownSerial(proxy), before);
  await control.report(({ served }) => served.some(({ serial }) => Buffer.from(serial).toString('hex') === ownSerial(proxy)));
});

test('a proxy that restarts while the control plane is away serves its last good settings, revocations included', async () => {
  await using control = await startTestControlPlane();
  const { state, proxyId, spiffeId } = await control.joined('orders');
  control.scope.serves.add(ENDPOINT);
  const port = freePort();
  control.revoked.suspendedSpiffeIds.push(parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/thief`));
  control.setSettings(proxyId, spiffeId, 1n, {
    inbound: [
      inboundTo(originPort, 'enforce', {
        listen: loopback(port),
        callers: [CALLER, `spiffe://${TRUST_DOMAIN}/prod/thief`].map((id) => ({
          pathId: 'path_01j00000000000000000000000',
          spiffeId: id,
          mode: 3,
        })),
      }),
    ],
  });
  const first = await run(control, state);
  await control.acknowledgement(SETTINGS_TYPE);
  await control.acknowledgement(REVOKED_SET_TYPE);
  await first.stop(0);
  const caller = clientOptions(control.enrol(CALLER, proxyId));
  const thief = clientOptions(control.enrol(parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/thief`), proxyId));
  await control.stop();
  await using _ = await run(control, state);
  assert.match((await callOverTls(port, caller)).text, /^HTTP\/1\.1 200 /);
  assert.equal((await callOverTls(port, thief)).text, '');
  assert.equal(await callInClear(port), '');
});

test('the upstream trust file is read at the start and again when it changes', async () => {
  await using control = await startTestControlPlane();
  const { state } = await control.joined('orders');
  const file = join(await mkdtemp(join(tmpdir(), 'countersign-trust-')), 'trust.pem');
  const options = {
    control: control.control,
    state,
    joinToken: null,
    upstreamTrustFile: file,
    clock: control.clock,
    log: control.log,
    env: {},
  };
  await assert.rejects(runProxy(options), { code: 'input-invalid' });
  await writeFile(file, 'no certificate');
  await assert.rejects(runProxy(options), { code: 'input-invalid' });
  await writeFile(file, encodePem('CERTIFICATE', control.authority.root.der));
  await using _ = await runProxy(options);
  const changes = (): number => control.logged.filter(({ event }) => event === 'upstream trust in force').length;
  assert.equal(changes(), 1);
  await writeFile(file, encodePem('CERTIFICATE', control.authority.issuing.der));
  await control.event('upstream trust in force', () => changes() === 2);
});

test('without an identity and without a token there is nothing to run', async () => {
  await using control = await startTestControlPlane();
  const { state } = await control.joined('orders');
  const empty = { ...state, readIdentity: async () => null };
  await assert.rejects(run(control, empty), { code: 'state-conflict' });
});

test('a port that was inherited is taken over without being closed, and only for the process that it is meant for', async () => {
  const { socket, port } = takePort();
  const program = `
    import { inheritedSockets } from ${JSON.stringify(import.meta.resolve('./socket-activation.ts'))};
    import { listen } from ${JSON.stringify(import.meta.resolve('./listen.ts'))};
    const sockets = inheritedSockets(process.env, process.pid, process.ppid);
    const others = inheritedSockets({ ...process.env, LISTEN_PID: '1' }, process.pid, process.ppid);
    const address = { kind: 'internet', host: '127.0.0.1', port: ${port} };
    const listener = await listen({ address, fd: sockets.get('127.0.0.1:${port}'), onConnection: (s) => s.end(String(others.size)) });
    console.log('listening');
    process.stdin.on('end', () => listener.close()).resume();`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['pipe', 'pipe', 'inherit', socket.fd()],
    env: { ...process.env, LISTEN_FDS: '1' },
  });
  await new Promise((resolve) => child.stdout!.once('data', resolve));
  assert.equal(await callInClear(port, ''), '0');
  child.stdin!.end();
  await new Promise((resolve) => child.once('exit', resolve));
  socket.close();
});

test('odd values of LISTEN_FDS mean no sockets', () => {
  for (const value of ['', 'x', '-1', '1e9', '0']) assert.equal(inheritedSockets({ LISTEN_FDS: value }, 1, 1).size, 0, value);
});

/** The serial of the certificate that the proxy was last given. */
function ownSerial({ link }: RunningProxy): string {
  return parseCertificate(link.identity.chain[0]!).serialHex;
}
