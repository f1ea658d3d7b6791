import assert from 'node:assert/strict';
import { constants, randomBytes } from 'node:crypto';
import { createServer } from 'node:tls';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { closedAddress, openTcpEndpoint, pemOf } from '../../../test/support/endpoints.ts';
import { makeTestAuthority, type TestLeaf } from '../../../test/support/test-authority.ts';
import { type DrillRunKind, drillReasons, POSITIVE_DRILL } from '../../core/findings/drill-kind.ts';
import { DrillJobSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { DrillResult } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { DAY_MS, HOUR_MS } from '../../core/time/instant.ts';
import { readClientHello } from '../../core/tls/client-hello.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { Problem } from '../../core/problems/problem.ts';
import { ManualClock } from '../../platform/clock/clock.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import type { Credential } from './fire-drill.ts';
import { type CredentialSource, runDrillJob } from './run-drill-job.ts';

const PROBE = 'spiffe://acme.test/production/countersign/probe';
const now = Date.now();
const authority = makeTestAuthority(now);
const stranger = makeTestAuthority(now, 'Stranger');
const server = authority.issue({ ips: ['127.0.0.1'], usages: ['server'] });
const everyKind: readonly DrillRunKind[] = [POSITIVE_DRILL, ...(Object.keys(drillReasons) as DrillRunKind[])];

/** What each kind's certificate differs in. */
const flaws: { readonly [K in DrillRunKind]?: TestLeaf } = {
  expired: { notBefore: now - DAY_MS, notAfter: now - HOUR_MS },
  'not-yet-valid': { notBefore: now + HOUR_MS, notAfter: now + DAY_MS },
  'wrong-identity': { uris: ['spiffe://acme.test/production/reports'] },
  'wrong-usage': { usages: ['server'] },
};

/** A CA's credentials, with the list of those that it revoked. */
function openCredentials(): CredentialSource & { readonly revoked: ReadonlySet<string>; readonly asked: readonly DrillRunKind[] } {
  const revoked = new Set<string>();
  const asked: DrillRunKind[] = [];
  return {
    revoked,
    asked,
    async credentialFor(kind): Promise<Credential | null> {
      asked.push(kind);
      if (kind === 'no-certificate' || kind === 'plaintext') return null;
      const issued = (kind === 'unknown-authority' ? stranger : authority).issue({ uris: [PROBE], usages: ['client'], ...flaws[kind] });
      const { key, cert } = pemOf(issued);
      return { key, certificates: cert, serial: issued.certificate.serial };
    },
    async revoke({ serial }) {
      revoked.add(Buffer.from(serial).toString('hex'));
    },
  };
}

const ticketKeys = randomBytes(48);

/** An endpoint that admits the probe identity only, and looks every connection up in the revoked set, resumed or not. */
async function openGuard(
  isRevoked: (serialHex: string) => boolean,
  secureOptions = 0,
): Promise<AsyncDisposable & { readonly address: HostPort }> {
  const open = new Set<Socket>();
  // Guards share their ticket keys, as the terminators of a proxy do.
  const options = {
    ...pemOf(server),
    secureOptions,
    ticketKeys,
    ca: encodePem('CERTIFICATE', authority.root.der),
    requestCert: true,
    rejectUnauthorized: true,
  };
  const guard = createServer(options, (socket) => {
    socket.on('error', () => undefined);
    const shown = socket.getPeerX509Certificate();
    const isProbe = shown?.subjectAltName === `URI:${PROBE}`;
    if (!isProbe || isRevoked(shown.serialNumber.toLowerCase())) return void socket.destroy();
    socket.once('data', () => socket.end('HTTP/1.1 204 No Content\r\n\r\n'));
  });
  guard.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => open.delete(socket));
  });
  guard.on('tlsClientError', () => undefined);
  await once(guard.listen(0, '127.0.0.1'), 'listening');
  return {
    address: { host: '127.0.0.1', port: (guard.address() as AddressInfo).port },
    async [Symbol.asyncDispose]() {
      const closed = once(guard, 'close');
      guard.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

async function run(
  address: HostPort,
  credentials: CredentialSource,
  kinds: readonly string[] = everyKind,
): Promise<ReadonlyMap<string, DrillResult>> {
  const results: DrillResult[] = [];
  const job = create(DrillJobSchema, { jobId: 'drill_1', endpointId: 'endpoint_1', kinds: [...kinds] });
  await runDrillJob({ job, address, credentials, clock: new ManualClock(now), onResult: (result) => void results.push(result) });
  for (const { jobId, endpointId, atMs } of results) assert.deepEqual([jobId, endpointId, atMs], ['drill_1', 'endpoint_1', BigInt(now)]);
  assert.equal(new Set(results.map(({ kind }) => kind)).size, results.length);
  return new Map(results.map((result) => [result.kind, result]));
}

describe('runDrillJob()', () => {
  test('passes the good handshake and sees every other refused, each after its octets had left', async () => {
    const credentials = openCredentials();
    await using guard = await openGuard((serial) => credentials.revoked.has(serial));
    const results = await run(guard.address, credentials);
    assert.deepEqual([...results.keys()], everyKind);
    const positive = results.get(POSITIVE_DRILL)!;
    assert.equal(positive.seen, 'answered');
    assert.equal(Buffer.from(positive.servedSerial).toString('hex'), server.certificate.serialHex);
    for (const kind of everyKind.slice(1)) {
      const { octetsSent, octetsAnswered, firstOctetsSha256, seen } = results.get(kind)!;
      assert.equal(octetsAnswered, 0n, `${kind} was answered`);
      assert.ok(octetsSent >= 64n, `${kind}: ${octetsSent} octets left`);
      assert.equal(firstOctetsSha256.length, 32, kind);
      assert.notEqual(seen, 'answered', kind);
    }
  });

  test('shows the serial that it presented, and none where it showed none', async () => {
    const credentials = openCredentials();
    await using guard = await openGuard((serial) => credentials.revoked.has(serial));
    const results = await run(guard.address, credentials, ['positive', 'no-certificate', 'plaintext', 'revoked']);
    assert.ok(results.get('positive')!.presentedSerial.length > 0);
    for (const kind of ['no-certificate', 'plaintext']) assert.equal(results.get(kind)!.presentedSerial.length, 0);
    assert.equal(credentials.revoked.has(Buffer.from(results.get('revoked')!.presentedSerial).toString('hex')), true);
  });

  test('revokes only after the certificate was good, and resumes the session of that handshake', async () => {
    const credentials = openCredentials();
    await using guard = await openGuard((serial) => credentials.revoked.has(serial));
    const result = (await run(guard.address, credentials, ['revoked-then-resumed'])).get('revoked-then-resumed')!;
    assert.deepEqual([result.resumed, result.octetsAnswered, result.offeredSession], [true, 0n, true]);
    assert.match(result.localAddress, /^127\.0\.0\.1:[1-9]/);
    assert.equal(credentials.revoked.size, 1);
  });

  test('resumes at an endpoint that gives tickets to nobody but who was seen to resume', async () => {
    const credentials = openCredentials();
    const isRevoked = (serial: string): boolean => credentials.revoked.has(serial);
    await using giving = await openGuard(isRevoked);
    await using sparing = await openGuard(isRevoked, constants.SSL_OP_NO_TICKET);
    let hasResumed = false;
    const gate = createTcpServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.once('data', (first: Buffer) => {
        const read = readClientHello(first);
        assert.equal(read.kind, 'complete');
        hasResumed ||= read.kind === 'complete' && read.hello.hasTicket;
        const { address } = hasResumed ? giving : sparing;
        const next = connect(address.port, address.host);
        next.on('error', () => socket.destroy());
        next.write(first);
        socket.pipe(next).pipe(socket);
      });
    });
    await once(gate.listen(0, '127.0.0.1'), 'listening');
    const { port } = gate.address() as AddressInfo;
    const result = (await run({ host: '127.0.0.1', port }, credentials, ['revoked-then-resumed'])).get('revoked-then-resumed')!;
    gate.close();
    assert.deepEqual([result.resumed, result.octetsAnswered, result.offeredSession], [true, 0n, true]);
  });

  test('fires again until a revocation has arrived, and reports the last shot', async () => {
    const credentials = openCredentials();
    let looks = 0;
    // The revoked set reaches this endpoint late.
    await using guard = await openGuard((serial) => credentials.revoked.has(serial) && ++looks > 3);
    const result = (await run(guard.address, credentials, ['revoked'])).get('revoked')!;
    assert.equal(result.octetsAnswered, 0n);
    assert.equal(looks, 4);
  });

  test('reports an endpoint that goes on answering a revoked certificate as answering', async () => {
    await using guard = await openGuard(() => false);
    const result = (await run(guard.address, openCredentials(), ['revoked-then-resumed'])).get('revoked-then-resumed')!;
    assert.equal(result.seen, 'answered');
    assert.ok(result.octetsAnswered > 0n);
  });

  test('says so where the session to be resumed could not be had, and revokes nothing', async () => {
    const credentials = openCredentials();
    await using guard = await openGuard(() => true);
    const result = (await run(guard.address, credentials, ['revoked-then-resumed'])).get('revoked-then-resumed')!;
    assert.deepEqual([result.seen, result.octetsAnswered, result.resumed], ['error:NO_SESSION', 0n, false]);
    assert.equal(result.offeredSession, false);
    assert.equal(credentials.revoked.size, 0);
  });

  test('leaves kinds that it does not know to newer probers, and fires the others', async () => {
    const credentials = openCredentials();
    await using guard = await openGuard(() => false);
    assert.deepEqual([...(await run(guard.address, credentials, ['of-the-future', 'positive', 'toString', ''])).keys()], ['positive']);
    assert.deepEqual(credentials.asked, ['positive']);
  });

  test('reports a credential that was not to be had as a shot of which nothing left, and goes on', async () => {
    const good = openCredentials();
    const credentials: CredentialSource = {
      revoke: (credential) => good.revoke(credential),
      credentialFor: async (kind) => {
        if (kind === 'expired') throw new Problem('issuance-refused', 'Cannot issue: no');
        if (kind === 'wrong-usage') throw new Error('anything');
        return good.credentialFor(kind);
      },
    };
    await using guard = await openGuard(() => false);
    const results = await run(guard.address, credentials, ['expired', 'wrong-usage', 'positive']);
    assert.deepEqual(
      [...results.values()].map(({ seen, octetsSent }) => [seen, octetsSent > 0n]),
      [
        ['error:issuance-refused', false],
        ['error:NO_CREDENTIAL', false],
        ['answered', true],
      ],
    );
  });

  test('reports an address where nothing listens, and one that breaks every connection', async () => {
    const closed = await run(await closedAddress(), openCredentials(), ['positive', 'plaintext', 'expired']);
    for (const { seen, octetsSent } of closed.values()) assert.deepEqual([seen, octetsSent], ['error:ECONNREFUSED', 0n]);
    await using breaking = await openTcpEndpoint((socket) => socket.destroy());
    const broken = await run(breaking.address, openCredentials(), ['positive', 'no-certificate']);
    for (const { octetsAnswered, seen } of broken.values()) assert.deepEqual([octetsAnswered, seen === 'answered'], [0n, false]);
  });
});
