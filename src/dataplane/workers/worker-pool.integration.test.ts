import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { create } from '@bufbuild/protobuf';
import { Outcome, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import {
  BundleAuthority_Role,
  CallRateSchema,
  Mode,
  OcspStapleSchema,
  Origination,
  PinMode,
  TrustBundleSchema,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import {
  callInClear,
  callOverTls,
  chainPemOf,
  clientOptions,
  keyPemOf,
  loopback,
  ORDERS,
  outboundTo,
  STOREFRONT,
  STRANGER,
} from '../../../test/support/proxy-lab.ts';
import { pemOf } from '../../../test/support/endpoints.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { parseDnsName } from '../../core/identity/dns-name.ts';
import { encodePrivateKey } from '../../platform/keystore/stored-identity.ts';
import type { TelemetryContent } from '../link/telemetry-buffer.ts';
import { callOn, unusedPort, WorkerLab } from '../../../test/support/worker-lab.ts';

const OK = /^HTTP\/1\.1 200 /;

/** One pool for all: what a test changes of who may call it puts back. */
const lab = await WorkerLab.open(2);
after(() => lab[Symbol.asyncDispose]());

test('settings reach every worker, and their counts make one report', async () => {
  const port = unusedPort();
  assert.deepEqual(await lab.apply({ inbound: [lab.inbound(port)] }), { kind: 'accepted' });
  const { pids } = lab.pool;
  assert.equal(new Set(pids).size, 2);
  assert.equal(pids.includes(process.pid), false);
  const caller = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
  const open = await lab.connectToAll(port, caller);
  assert.deepEqual([...open.keys()].toSorted(), [...pids].toSorted());
  assert.equal(await callInClear(port), '');
  const refusals: string[] = [];
  let counted = 0n;
  const report = await reportUntil(lab, (part) => {
    counted += callsOf(part);
    refusals.push(...part.refusals!.map(({ reason }) => reason));
    return counted >= lab.requests && openOf(part) === 2;
  });
  assert.equal(counted, BigInt(lab.requests));
  assert.deepEqual(refusals, ['plaintext']);
  assert.equal(report.generation, lab.generation);
  assert.equal(report.served!.length, 1);
  for (const socket of open.values()) socket.destroy();
});

test('what one worker refuses is in force at none: all go back to the last good settings', async () => {
  const [port, other] = [unusedPort(), unusedPort()];
  await lab.apply({ inbound: [lab.inbound(port)] });
  const { generation } = lab;
  const second = lab.pool.pids[1]!;
  const open = await lab.connectToAll(port, clientOptions(lab.authority.issue({ uris: [STOREFRONT] })));
  await reportUntil(lab, (report) => openOf(report) === 2);
  // It may open nothing more, so it cannot listen at another port.
  setDescriptorLimit(second, await freeDescriptor(second));
  const answer = await lab.apply({ inbound: [lab.inbound(port), lab.inbound(other, { endpointId: 'endpoint_2' })] });
  setDescriptorLimit(second, 4_096);
  assert.match(answer.kind === 'refused' ? answer.reason : 'accepted', /EMFILE/);
  await assert.rejects(connected(other), { code: 'ECONNREFUSED' });
  assert.equal((await lab.pool.takeReport()).generation, generation);
  for (const socket of open.values()) assert.match(await callOn(socket), OK);
  // Nothing is left behind: the same settings are taken once it can.
  assert.deepEqual(await lab.apply({ inbound: [lab.inbound(port), lab.inbound(other, { endpointId: 'endpoint_2' })] }), {
    kind: 'accepted',
  });
  for (const socket of open.values()) socket.destroy();
});

test('a worker that dies while it tries settings is no judgement on them, and has them when it comes back', async () => {
  const [port, other] = [unusedPort(), unusedPort()];
  await lab.apply({ inbound: [lab.inbound(port)] });
  const [trier] = lab.pool.pids;
  process.kill(trier!, 'SIGSTOP');
  const applied = lab.apply({ inbound: [lab.inbound(other)] });
  process.kill(trier!, 'SIGKILL');
  assert.deepEqual(await applied, { kind: 'accepted' });
  await lab.replaced(trier!);
  const caller = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
  for (const socket of (await lab.connectToAll(other, caller)).values()) socket.destroy();
  await assert.rejects(connected(port), { code: 'ECONNREFUSED' });
  assert.equal((await lab.pool.takeReport()).generation, lab.generation);
});

test('settings that no worker survived are refused, and what starts anew has the last good ones', async () => {
  const [port, other] = [unusedPort(), unusedPort()];
  await lab.apply({ inbound: [lab.inbound(port)] });
  const { generation } = lab;
  const { pids } = lab.pool;
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  const applied = lab.apply({ inbound: [lab.inbound(other)] });
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  const answer = await applied;
  assert.match(answer.kind === 'refused' ? answer.reason : 'accepted', /the workers that tried it ended/);
  for (const pid of pids) await lab.replaced(pid);
  const caller = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
  for (const socket of (await lab.connectToAll(port, caller)).values()) socket.destroy();
  await assert.rejects(connected(other), { code: 'ECONNREFUSED' });
  assert.equal((await lab.pool.takeReport()).generation, generation);
});

test('what comes while no worker runs waits for one', async () => {
  const port = unusedPort();
  const { pids } = lab.pool;
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  for (const pid of pids) await lab.ended(pid);
  assert.deepEqual(lab.pool.pids, []);
  await lab.pool.applyRevokedSet(lab.revocation({ suspended: [STRANGER] }));
  const callers = [STOREFRONT, STRANGER].map((spiffeId) => ({ pathId: 'path_1', spiffeId, mode: 3 }));
  assert.deepEqual(await lab.apply({ inbound: [lab.inbound(port, { callers: callers as never })] }), { kind: 'accepted' });
  for (const pid of pids) await lab.replaced(pid);
  assert.match((await callOverTls(port, clientOptions(lab.authority.issue({ uris: [STOREFRONT] })))).text, OK);
  const suspended = clientOptions(lab.authority.issue({ uris: [STRANGER] }));
  for (let turn = 0; turn < 8; turn++) assert.equal((await callOverTls(port, suspended)).text, '');
  await lab.pool.applyRevokedSet(lab.revocation({}));
});

test('bundles of other trust domains are in force at every worker, and at those that begin later', async () => {
  const port = unusedPort();
  const partner = makeTestAuthority(Date.now(), 'Partner');
  const shop = parseSpiffeId('spiffe://partner.example/shop');
  const authorities = [{ role: BundleAuthority_Role.ROOT, certificate: partner.root.der }];
  const bundle = create(TrustBundleSchema, { trustDomain: 'partner.example', authorities });
  const callers = [STOREFRONT, shop].map((spiffeId, index) => ({ pathId: `path_${index}`, spiffeId, mode: Mode.ENFORCE }));
  const settings = lab.settings({ inbound: [lab.inbound(port, { callers })] });
  assert.equal((await lab.pool.applySettings({ ...settings, federatedTrustDomains: ['partner.example'] })).kind, 'accepted');
  assert.deepEqual(await lab.pool.applyFederatedBundles([bundle]), { kind: 'accepted' });
  const { pids } = lab.pool;
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  for (const pid of pids) await lab.ended(pid);
  for (const pid of pids) await lab.replaced(pid);
  const caller = clientOptions(partner.issue({ uris: [shop] }));
  for (let turn = 0; turn < 8; turn++) assert.match((await callOverTls(port, caller)).text, OK);
  assert.equal((await lab.pool.applyFederatedBundles([lab.bundle()])).kind, 'refused');
  await lab.pool.applyFederatedBundles([]);
  for (let turn = 0; turn < 8; turn++) assert.equal((await callOverTls(port, caller)).text, '');
});

test('settings that cannot be used are refused before any port changes, and a port of somebody else is not shared with them', async () => {
  const port = unusedPort();
  await lab.apply({ inbound: [lab.inbound(port)] });
  const { generation } = lab;
  const stranger = createServer((socket) => socket.end('stranger'));
  const taken = unusedPort();
  stranger.listen({ host: '127.0.0.1', port: taken, reusePort: true });
  await once(stranger, 'listening');
  for (const [inbound, reason] of [
    [lab.inbound(taken), /Cannot listen at .*EADDRINUSE/],
    [lab.inbound(0), /expected its number/],
    [lab.inbound(port, { protocol: 99 as never }), /protocol 99/],
    [lab.inbound(unusedPort(), { tls: { groups: ['no-such-group'] } }), /TLS policy/],
  ] as const) {
    const answer = await lab.apply({ inbound: [inbound] });
    assert.match(answer.kind === 'refused' ? answer.reason : 'accepted', reason);
  }
  const elsewhere = lab.settings({ inbound: [lab.inbound(port)] });
  assert.equal((await lab.pool.applySettings({ ...elsewhere, spiffeId: STRANGER })).kind, 'refused');
  assert.equal((await lab.pool.applyTrustBundle({ ...lab.bundle(), trustDomain: 'elsewhere.example' })).kind, 'refused');
  assert.equal((await lab.pool.applyTicketKeys(lab.ticketKeys({ sealing: Buffer.alloc(16) }))).kind, 'refused');
  assert.equal((await lab.pool.applyStaple(create(OcspStapleSchema, { response: Buffer.from('no OCSP') }))).kind, 'refused');
  const foreign = lab.identity(lab.authority.issue({ uris: [STRANGER] }));
  await assert.rejects(lab.pool.applyIdentity(foreign), { code: 'state-conflict' });
  const caller = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
  assert.match((await callOverTls(port, caller)).text, OK);
  assert.equal((await lab.pool.takeReport()).generation, generation);
  stranger.close();
});

test('a revocation is in force at every worker when it is acknowledged: open, resumed and new connections', async () => {
  const port = unusedPort();
  await lab.apply({ inbound: [lab.inbound(port)] });
  const thief = lab.authority.issue({ uris: [STOREFRONT] });
  const { session } = await callOverTls(port, clientOptions(thief));
  const open = await lab.connectToAll(port, clientOptions(thief));
  const honest = await lab.connectToAll(port, clientOptions(lab.authority.issue({ uris: [STOREFRONT] })));
  const closed = [...open.values()].map((socket) => once(socket, 'close'));
  assert.deepEqual(await lab.pool.applyRevokedSet(lab.revocation({ credentials: [thief] })), { kind: 'accepted' });
  await Promise.all(closed);
  // As often as it takes to have been at both.
  for (let turn = 0; turn < 12; turn++) {
    const seen = await callOverTls(port, { ...clientOptions(thief), session: session! });
    assert.equal(seen.resumed, true);
    assert.equal(seen.text, '');
    assert.equal((await callOverTls(port, clientOptions(thief))).text, '');
  }
  for (const socket of honest.values()) assert.match(await callOn(socket), OK);
  await lab.pool.applyRevokedSet(lab.revocation({ suspended: [STOREFRONT] }));
  for (const socket of honest.values()) assert.equal(await callOn(socket), '');
  assert.equal((await lab.pool.takeReport()).revokedSequence, lab.revokedSequence);
  await lab.pool.applyRevokedSet(lab.revocation({}));
});

test('a worker that cannot be told of a revocation serves no more', async () => {
  const port = unusedPort();
  await lab.apply({ inbound: [lab.inbound(port)] });
  const thief = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
  const open = await lab.connectToAll(port, thief);
  const [deaf] = lab.pool.pids;
  process.kill(deaf!, 'SIGSTOP');
  const closed = [...open.values()].map((socket) => once(socket, 'close'));
  await lab.pool.applyRevokedSet(lab.revocation({ suspended: [STOREFRONT] }));
  assert.equal(lab.pool.pids.includes(deaf!), false);
  await Promise.all(closed);
  await lab.replaced(deaf!);
  for (let turn = 0; turn < 8; turn++) assert.equal((await callOverTls(port, thief)).text, '');
  await lab.pool.applyRevokedSet(lab.revocation({}));
});

test('sessions of one worker resume at the others, with keys of its own and with those delivered', async () => {
  const port = unusedPort();
  await lab.apply({ inbound: [lab.inbound(port)] });
  const caller = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
  const resumeEverywhere = async (): Promise<void> => {
    const { session } = await callOverTls(port, caller);
    const open = await lab.connectToAll(port, { ...caller, session: session! });
    for (const socket of open.values()) {
      assert.equal(socket.isSessionReused(), true);
      socket.destroy();
    }
  };
  await resumeEverywhere();
  assert.deepEqual(await lab.pool.applyTicketKeys(lab.ticketKeys()), { kind: 'accepted' });
  await resumeEverywhere();
});

test('a killed worker takes its own connections along and nothing else, and its successor knows what is in force', async (t) => {
  const port = unusedPort();
  await lab.apply({ inbound: [lab.inbound(port)] });
  await lab.pool.applyRevokedSet(lab.revocation({ suspended: [STRANGER] }));
  const renewed = lab.authority.issue({ uris: [ORDERS] });
  await lab.pool.applyIdentity(lab.identity(renewed));
  const caller = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
  const open = await lab.connectToAll(port, caller);
  await reportUntil(lab, (report) => openOf(report) === 2);
  const [victim, survivor] = lab.pool.pids;
  const gone = once(open.get(victim!)!, 'close');
  const over = new AbortController();
  t.after(() => over.abort());
  const load = answersUntil(over.signal, () => callOn(open.get(survivor!)!));
  process.kill(victim!, 'SIGKILL');
  await gone;
  // Until the system has closed all of it, a connection may still be laid at its door.
  await lab.ended(victim!);
  for (let turn = 0; turn < 8; turn++) assert.match((await callOverTls(port, caller)).text, OK);
  await lab.replaced(victim!);
  over.abort();
  for (const text of await load) assert.match(text, OK);
  const report = await lab.pool.takeReport();
  assert.equal(openOf(report), 1);
  assert.equal(report.generation, lab.generation);
  assert.equal(report.revokedSequence, lab.revokedSequence);
  for (const socket of (await lab.connectToAll(port, caller)).values()) {
    assert.deepEqual(socket.getPeerX509Certificate()!.raw, Buffer.from(renewed.certificate.der));
    socket.destroy();
  }
  assert.match(await callOn(open.get(survivor!)!), OK);
  assert.deepEqual(await lab.apply({ inbound: [lab.inbound(port)] }), { kind: 'accepted' });
});

test('certificates are renewed and settings pushed under load without a failed call', async (t) => {
  const port = unusedPort();
  await lab.apply({ inbound: [lab.inbound(port)] });
  const caller = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
  const open = await lab.connectToAll(port, caller);
  const over = new AbortController();
  t.after(() => over.abort());
  const load = [
    ...[...open.values()].map((socket) => answersUntil(over.signal, () => callOn(socket))),
    answersUntil(over.signal, async () => (await callOverTls(port, caller)).text),
  ];
  for (let push = 0; push < 10; push++) {
    await lab.pool.applyIdentity(lab.identity());
    assert.deepEqual(await lab.apply({ inbound: [lab.inbound(port)] }), { kind: 'accepted' });
    assert.deepEqual(await lab.pool.applyTicketKeys(lab.ticketKeys()), { kind: 'accepted' });
  }
  over.abort();
  const answers = (await Promise.all(load)).flat();
  assert.deepEqual(
    answers.filter((text) => !OK.test(text)),
    [],
  );
  assert.ok(answers.length > 20, String(answers.length));
  for (const socket of open.values()) socket.destroy();
});

test('a stop lets calls under way end at every worker, takes nothing new, and leaves no process', async () => {
  await using lab = await WorkerLab.open(2);
  const port = unusedPort();
  await lab.apply({ inbound: [lab.inbound(port)] });
  const { pids } = lab.pool;
  const open = await lab.connectToAll(port, clientOptions(lab.authority.issue({ uris: [STOREFRONT] })));
  let counted = 0n;
  await reportUntil(lab, (report) => (counted += callsOf(report)) >= lab.requests);
  const release = lab.holdAnswers();
  const answers = [...open.values()].map((socket) => callOn(socket));
  await lab.held(2);
  const stopped = lab.pool.stop(5_000);
  await assert.doesNotReject(untilRefused(port));
  release();
  for (const text of await Promise.all(answers)) assert.match(text, OK);
  await stopped;
  for (const pid of pids) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  // What was counted while it ended is not lost.
  assert.equal(counted + callsOf(await lab.pool.takeReport()), BigInt(lab.requests));
  assert.equal((await lab.apply({ inbound: [lab.inbound(port)] })).kind, 'refused');
});

test('Unix sockets are served by one worker and the calls of the service by all', async () => {
  const [port, way] = [unusedPort(), unusedPort()];
  const path = join(await mkdtemp(join(tmpdir(), 'countersign-workers-')), 'orders.sock');
  const inUnix = lab.inbound(0, { listen: { address: { case: 'unixPath', value: path } }, endpointId: 'endpoint_unix', anonymousMode: 1 });
  const out = outboundTo([port], Origination.MTLS, { listen: loopback(way), serverSpiffeId: ORDERS, endpointId: 'endpoint_out' });
  const inbound = lab.inbound(port, { callers: [{ pathId: 'path_1', spiffeId: ORDERS, mode: 3 }] as never });
  assert.deepEqual(await lab.apply({ inbound: [inbound, inUnix], outbound: [out] }), { kind: 'accepted' });
  for (let turn = 0; turn < 8; turn++) assert.match(await callInClear(way), OK);
  assert.match(await callUnix(path), OK);
  const [owner] = lab.pool.pids;
  process.kill(owner!, 'SIGKILL');
  await lab.replaced(owner!);
  assert.match(await callUnix(path), OK);
});

test('a private key reaches a worker neither by argument nor by environment', async () => {
  const key = encodePrivateKey(lab.identity().privateKey);
  await lab.pool.applyIdentity(lab.identity());
  for (const pid of lab.pool.pids) {
    const shown = `${await readFile(`/proc/${pid}/cmdline`, 'latin1')} ${await readFile(`/proc/${pid}/environ`, 'latin1')}`;
    assert.match(shown, /--max-semi-space-size=4\0.*run-worker/);
    for (const form of ['latin1', 'hex', 'base64'] as const) {
      assert.equal(shown.includes(Buffer.from(key).subarray(0, 20).toString(form)), false);
    }
  }
});

test('connections at one worker count at the others, too', async () => {
  const port = unusedPort();
  await lab.apply({ inbound: [lab.inbound(port, { maximumConnections: 2 })] });
  const caller = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
  const open = await lab.connectToAll(port, caller);
  // Each has one of two open, and would take another if it did not know of the other's.
  let refused = 0;
  while (refused < 8) refused = OK.test((await callOverTls(port, caller)).text) ? 0 : refused + 1;
  const [socket] = open.values();
  socket!.destroy();
  while (!OK.test((await callOverTls(port, caller)).text));
  for (const other of open.values()) other.destroy();
});

test('a rate of calls holds over all workers', async () => {
  const port = unusedPort();
  const callerRate = create(CallRateSchema, { perSecond: 1, burst: 20 });
  await lab.apply({ inbound: [lab.inbound(port, { callerRate })] });
  const caller = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
  const [first, second] = [...(await lab.connectToAll(port, caller)).values()];
  while (await isServed(first!));
  // Alone it would have twenty calls, and twenty times a quarter of a second to tell of them.
  let calls = 0;
  while (calls < 18 && (await isServed(second!))) {
    calls += 1;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  assert.ok(calls < 18, 'the second worker does not know what the first one let through');
  first!.destroy();
  second!.destroy();
});

test('a worker that does not stay up is said to, and the other serves on', async () => {
  const port = unusedPort();
  await lab.apply({ inbound: [lab.inbound(port)] });
  const [survivor] = lab.pool.pids;
  lab.log.length = 0;
  while (!lab.log.some(({ event }) => event === 'worker does not stay up')) {
    const victim = lab.pool.pids.find((pid) => pid !== survivor)!;
    process.kill(victim, 'SIGKILL');
    await lab.replaced(victim);
  }
  const { fields } = await lab.event('worker does not stay up');
  assert.equal(fields['serving'], 1);
  assert.equal(fields['how'], 'signal SIGKILL');
  assert.equal(lab.pool.pids.includes(survivor!), true);
  const caller = clientOptions(lab.authority.issue({ uris: [STOREFRONT] }));
  for (const socket of (await lab.connectToAll(port, caller)).values()) socket.destroy();
});

function callsOf({ counts = [] }: TelemetryContent): bigint {
  return counts
    .filter(({ unit, outcome }) => unit === Unit.CALL && outcome === Outcome.ACCEPTED)
    .reduce((sum, { count }) => sum + count, 0n);
}

function openOf({ open = [] }: TelemetryContent): number {
  return open.reduce((sum, { count }) => sum + count, 0);
}

/** What a peer sees is counted a moment later. */
async function reportUntil(lab: WorkerLab, fits: (report: TelemetryContent) => boolean): Promise<TelemetryContent> {
  for (;;) {
    const report = await lab.pool.takeReport();
    if (fits(report)) return report;
  }
}

/** Calls again and again, at least once. */
async function answersUntil(signal: AbortSignal, call: () => Promise<string>): Promise<readonly string[]> {
  const answers: string[] = [];
  do {
    answers.push(await call());
    await new Promise((resolve) => setImmediate(resolve));
  } while (!signal.aborted);
  return answers;
}

async function isServed(socket: Socket): Promise<boolean> {
  return OK.test(await callOn(socket));
}

async function connected(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

async function untilRefused(port: number): Promise<void> {
  for (;;) {
    try {
      (await connected(port)).destroy();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') return;
    }
  }
}

async function callUnix(path: string): Promise<string> {
  const socket = connect({ path });
  await once(socket, 'connect');
  const text = await callOn(socket);
  socket.destroy();
  return text;
}

/** prlimit(1): a limit is one more than the highest descriptor. */
function setDescriptorLimit(pid: number, limit: number): void {
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${limit}:4096`]);
}

/** The lowest number that the next descriptor of this process would get. */
async function freeDescriptor(pid: number): Promise<number> {
  const used = new Set((await readdir(`/proc/${pid}/fd`)).map(Number));
  for (let number = 0; ; number++) if (!used.has(number)) return number;
}

test('what a worker saw a third party have is told, and new pins and the certificate for it reach every worker that begins later', async () => {
  const web = makeTestAuthority(Date.now(), 'Web');
  const mine = web.issue({ dnsNames: ['acme.example'], usages: ['client'] });
  const { certificate } = mine;
  const shown: (string | undefined)[] = [];
  const demands = { requestCert: true, rejectUnauthorized: false };
  const processor = createTlsServer({ ...pemOf(web.issue({ dnsNames: ['api.example'] })), ...demands }, (socket) => {
    socket.on('error', () => {});
    shown.push(socket.getPeerX509Certificate()?.serialNumber.toLowerCase());
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'));
  });
  await new Promise<void>((resolve) => processor.listen(0, '127.0.0.1', resolve));
  const port = unusedPort();
  const outbound = (pins: readonly Uint8Array[] = []) => {
    const more = {
      listen: loopback(port),
      serverName: 'api.example',
      serverAnchors: [web.root.der],
      pins: [...pins],
      showsHeldCertificate: true,
    };
    const { port: upstream } = processor.address() as AddressInfo;
    return outboundTo([upstream], Origination.TLS, { ...more, pinMode: pins.length === 0 ? PinMode.UNSPECIFIED : PinMode.ENFORCE });
  };
  assert.deepEqual(await lab.apply({ outbound: [outbound()] }), { kind: 'accepted' });
  const held = { chainPem: chainPemOf(mine), keyPem: keyPemOf(mine), notAfter: certificate.notAfter, digest: certificate.serialHex };
  await lab.pool.applyClientCertificates([{ serverName: parseDnsName('api.example'), ...held }]);
  assert.match(await callInClear(port), OK);
  while (lab.seen.size === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.ok([...lab.seen.values()][0]!.has(web.root.spkiSha256));
  // Whoever takes the places of those that are ended here has called nobody.
  const lines = lab.log.length;
  for (const pid of lab.pool.pids) process.kill(pid, 'SIGKILL');
  for (const worker of [0, 1])
    await lab.event('worker serves', (line) => line.fields['worker'] === worker && lab.log.indexOf(line) >= lines);
  const answer = await lab.apply({ outbound: [outbound([Buffer.alloc(32, 1), Buffer.alloc(32, 2)])] });
  assert.match(answer.kind === 'refused' ? answer.reason : 'accepted', /none matches/);
  assert.match(await callInClear(port), OK);
  assert.deepEqual(shown, [certificate.serialHex, certificate.serialHex]);
  processor.close();
});
