import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { connect as connectTcp } from 'node:net';
import type { Readable } from 'node:stream';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { EnrollmentService, JoinRequestSchema, RenewRequestSchema } from '../../core/messages/generated/countersign/v1/enrollment_pb.ts';
import { Channel, Outcome, Side, TelemetryReportSchema, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import {
  AggregatedDiscoveryService,
  DeltaDiscoveryRequestSchema,
  DiscoveryRequestSchema,
} from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import { DRILL_JOB_TYPE, SETTINGS_TYPE, TRUST_BUNDLE_TYPE } from '../../core/messages/type-urls.ts';
import { parseSpiffeId, probeSpiffeId, type SpiffeId } from '../../core/identity/spiffe-id.ts';
import { DAY_MS, HOUR_MS } from '../../core/time/instant.ts';
import { buildCertificateRequest } from '../../core/x509/certificate-request.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { openRpcConnection, type RpcConnection } from '../../dataplane/link/rpc-connection.ts';
import { deltaMethod } from '../../dataplane/link/subscription.ts';
import { telemetryMethod } from '../../dataplane/link/telemetry-stream.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import { makePrivateKey } from '../../platform/keystore/make-private-key.ts';
import { makeTestAuthority, type TestCredential, type TestLeaf } from '../../../test/support/test-authority.ts';
import { START, startTestControlPlane, type TestControlPlane, TRUST_DOMAIN } from '../../../test/support/test-control-plane.ts';

const ORDERS = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/orders`);
let plane: TestControlPlane;
before(async () => (plane = await startTestControlPlane()));
after(() => plane[Symbol.asyncDispose]());

const connectWith = (credential: TestCredential | null): Promise<RpcConnection> =>
  openRpcConnection({
    control: plane.control,
    certificate: credential === null ? null : { chain: credential.chain, key: credential.key },
    judge: () => {},
  });

function enrolled(spiffeId: SpiffeId = ORDERS, leaf: TestLeaf = {}) {
  const proxyId = newEntityId('proxy', START);
  return { proxyId, credential: plane.enrol(spiffeId, proxyId, leaf) };
}

async function renewFor(
  connection: RpcConnection,
  uris: readonly string[],
  more: { dnsNames?: string[]; subjectCommonName?: string } = {},
) {
  const csr = buildCertificateRequest({ uris, ...more }, await makePrivateKey());
  return connection.call(EnrollmentService.method.renew, create(RenewRequestSchema, { csr }));
}

/** Opens a discovery stream with this first request and gives the first answer, or throws what ended it. */
async function discover(connection: RpcConnection, first: MessageInitShape<typeof DeltaDiscoveryRequestSchema>) {
  const stream = connection.stream(deltaMethod);
  stream.write(create(DeltaDiscoveryRequestSchema, first));
  const [response] = await once(stream, 'data');
  stream.on('error', () => {});
  return { stream, response };
}

const reporting = async (init: MessageInitShape<typeof TelemetryReportSchema>, credential = enrolled().credential) => {
  const connection = await connectWith(credential);
  const stream = connection.stream(telemetryMethod);
  stream.write(create(TelemetryReportSchema, { bootId: 'b', sequence: 1n, ...init }));
  const error = once(stream, 'error').then(([error]) => Promise.reject(error));
  return Promise.race([once(stream, 'data'), error]).finally(() => {
    stream.on('error', () => {});
    connection.destroy();
  });
};

const refused = (reason: string) => (error: Error & { code?: unknown; details?: string }) => {
  assert.match(`${error.message} ${error.details ?? ''}`, new RegExp(reason));
  assert.ok(
    error.code === 'forbidden' || error.code === 'telemetry-refused' || error.code === status.PERMISSION_DENIED,
    String(error.code),
  );
  assert.ok((plane.listener.refusals().get(reason) ?? 0) > 0, 'it is counted');
  assert.ok(
    plane.logged.some(({ event, fields }) => event === 'data-plane.call-refused' && fields['reason'] === reason),
    'it is logged',
  );
  return true;
};

const dial = (options: ConnectionOptions): TLSSocket =>
  connect({ ...plane.control, rejectUnauthorized: false, ALPNProtocols: ['h2'], ...options });

describe('who may call', () => {
  test('without a certificate: nothing but Join', async () => {
    const connection = await connectWith(null);
    await assert.rejects(renewFor(connection, [ORDERS]), refused('certificate-required'));
    await assert.rejects(discover(connection, { typeUrl: TRUST_BUNDLE_TYPE }), refused('certificate-required'));
    await assert.rejects(
      connection.call(EnrollmentService.method.join, create(JoinRequestSchema, {})),
      { code: 'not-found' },
      'not mounted here',
    );
    connection.destroy();
  });

  const strangers: { readonly [what: string]: () => [TestCredential, string] } = {
    'a certificate of another CA': () => [makeTestAuthority(START).issue({ uris: [ORDERS] }), 'certificate-invalid'],
    'a certificate of our CA that is on no record': () => [plane.authority.issue({ uris: [ORDERS] }), 'certificate-unknown'],
    'an expired certificate': () => [
      enrolled(ORDERS, { notBefore: START - DAY_MS, notAfter: START - HOUR_MS }).credential,
      'certificate-expired',
    ],
    'a certificate that is not valid yet': () => [enrolled(ORDERS, { notBefore: START + HOUR_MS }).credential, 'certificate-invalid'],
    'a certificate for servers only': () => [enrolled(ORDERS, { usages: ['server'] }).credential, 'certificate-invalid'],
    'a certificate with two names': () => [enrolled(ORDERS, { uris: [ORDERS, `${ORDERS}2`] }).credential, 'certificate-unknown'],
    'a certificate with another name than on record': () => [enrolled(ORDERS, { uris: [`${ORDERS}2`] }).credential, 'certificate-unknown'],
  };
  for (const [what, make] of Object.entries(strangers)) {
    test(`refuses ${what}`, async () => {
      const [credential, reason] = make();
      const connection = await connectWith(credential);
      await assert.rejects(renewFor(connection, [ORDERS]), refused(reason));
      await assert.rejects(discover(connection, { typeUrl: TRUST_BUNDLE_TYPE }), refused(reason));
      connection.destroy();
    });
  }

  test('admits an enrolled data plane', async () => {
    const connection = await connectWith(enrolled().credential);
    assert.equal((await renewFor(connection, [ORDERS])).chain.length, 2);
    assert.equal((await renewFor(connection, [])).chain.length, 2, 'the control plane puts the name in');
    connection.destroy();
  });
});

describe('how many may call', () => {
  test('one data plane takes a few connections and leaves the others theirs', async () => {
    const { credential } = enrolled();
    const open = await Promise.all(Array.from({ length: 16 }, () => connectWith(credential)));
    for (const connection of open) await renewFor(connection, [ORDERS]);
    await assert.rejects(connectWith(credential).then((connection) => renewFor(connection, [ORDERS])));
    assert.ok(plane.logged.some(({ event }) => event === 'data-plane.too-many-connections'));
    const other = await connectWith(enrolled().credential);
    assert.equal((await renewFor(other, [ORDERS])).chain.length, 2);
    for (const connection of [...open, other]) connection.destroy();
  });
});

describe('what a node may do', () => {
  test('refuses a certificate request for another name', async () => {
    const connection = await connectWith(enrolled().credential);
    await assert.rejects(renewFor(connection, [`${ORDERS}2`]), refused('other-names'));
    await assert.rejects(renewFor(connection, [ORDERS, `spiffe://${TRUST_DOMAIN}/prod/payments`]), refused('other-names'));
    await assert.rejects(renewFor(connection, [ORDERS], { dnsNames: ['orders.example.test'] }), refused('other-names'));
    await assert.rejects(renewFor(connection, [], { subjectCommonName: 'admin' }), refused('other-names'));
    connection.destroy();
  });

  test('refuses a request that is no CSR', async () => {
    const connection = await connectWith(enrolled().credential);
    for (const csr of [new Uint8Array(), new Uint8Array(100).fill(0x30), new Uint8Array(70_000)]) {
      await assert.rejects(connection.call(EnrollmentService.method.renew, create(RenewRequestSchema, { csr })), { code: 'csr-malformed' });
    }
    connection.destroy();
  });

  test("refuses another's settings, at first and later", async () => {
    const connection = await connectWith(enrolled().credential);
    const other = newEntityId('proxy', START);
    await assert.rejects(discover(connection, { typeUrl: SETTINGS_TYPE, resourceNamesSubscribe: [other] }), refused('foreign-resource'));
    const { stream } = await discover(connection, { typeUrl: SETTINGS_TYPE });
    stream.write(create(DeltaDiscoveryRequestSchema, { typeUrl: SETTINGS_TYPE, resourceNamesSubscribe: [other] }));
    const [error] = await once(stream, 'error');
    refused('foreign-resource')(error);
    connection.destroy();
  });

  test('gives drill jobs to the probe identity alone', async () => {
    const connection = await connectWith(enrolled().credential);
    await assert.rejects(discover(connection, { typeUrl: DRILL_JOB_TYPE, resourceNamesSubscribe: ['*'] }), refused('probe-only'));
    await assert.rejects(discover(connection, { typeUrl: DRILL_JOB_TYPE }), refused('probe-only'));
    connection.destroy();
    const probe = await connectWith(enrolled(probeSpiffeId(TRUST_DOMAIN, 'prod')).credential);
    const { response } = await discover(probe, { typeUrl: DRILL_JOB_TYPE, resourceNamesSubscribe: ['*'] });
    assert.equal(response.resources.length, 0);
    probe.destroy();
  });

  const count = {
    side: Side.RECEIVER,
    endpointId: 'endpoint_of_another',
    channel: Channel.MTLS,
    unit: Unit.CALL,
    outcome: Outcome.ACCEPTED,
    count: 1n,
  };

  test('whose certificate ended within its grace: renew it, send no telemetry, hear nothing', async () => {
    await using lab = await startTestControlPlane({ graceMs: HOUR_MS });
    const ended = { notBefore: START - DAY_MS, notAfter: START - HOUR_MS / 2 };
    const { chain, key } = lab.enrol(ORDERS, newEntityId('proxy', START), ended);
    const connection = await openRpcConnection({ control: lab.control, certificate: { chain, key }, judge: () => {} });
    for (const stream of [connection.stream(telemetryMethod), connection.stream(deltaMethod)]) {
      const [error] = await once(stream as Readable, 'error');
      assert.match(String(error), /certificate-expired/);
    }
    assert.deepEqual(lab.reports, []);
    assert.equal((await renewFor(connection, [ORDERS])).chain.length, 2);
    connection.destroy();
  });

  test('refuses telemetry for paths that it neither serves nor calls', async () => {
    await assert.rejects(reporting({ counts: [count] }), refused('foreign-path'));
    assert.equal(plane.reports.length, 0);
  });

  test('refuses drill results of who is not the probe', async () => {
    await assert.rejects(reporting({ drills: [{ kind: 'expired' }] }), refused('foreign-report'));
    await reporting({ drills: [{ kind: 'expired' }] }, enrolled(probeSpiffeId(TRUST_DOMAIN, 'prod')).credential);
  });

  test('refuses a report past its limits', async () => {
    const tooMuch: MessageInitShape<typeof TelemetryReportSchema>[] = [
      { bootId: 'x'.repeat(65) },
      { counts: Array.from({ length: 10_001 }, () => count) },
      { refusals: Array.from({ length: 1_001 }, () => ({})) },
    ];
    for (const init of tooMuch) await assert.rejects(reporting(init), { code: status.INVALID_ARGUMENT });
  });

  test('state-of-the-world discovery gives what it may have, and no other node its own', async () => {
    const connection = await connectWith(enrolled().credential);
    const stream = connection.stream(AggregatedDiscoveryService.method.streamAggregatedResources);
    stream.write(create(DiscoveryRequestSchema, { typeUrl: TRUST_BUNDLE_TYPE }));
    const [response] = await once(stream, 'data');
    assert.deepEqual(
      [response.typeUrl, response.resources.length, response.resources[0].typeUrl],
      [TRUST_BUNDLE_TYPE, 1, TRUST_BUNDLE_TYPE],
    );
    stream.write(create(DiscoveryRequestSchema, { typeUrl: SETTINGS_TYPE, resourceNames: [newEntityId('proxy', START)] }));
    await assert.rejects(
      once(stream, 'data').then(() => stream.destroy()),
      refused('foreign-resource'),
    );
    connection.destroy();
  });

  test('refuses a message past 4 MiB', async () => {
    const connection = await connectWith(enrolled().credential);
    const stream = connection.stream(telemetryMethod);
    stream.write(create(TelemetryReportSchema, { bootId: 'x'.repeat(4 * 1024 * 1024) }));
    const [error] = await once(stream, 'error');
    assert.equal(error.code, status.RESOURCE_EXHAUSTED);
    connection.destroy();
  });
});

describe('what ends a connection', () => {
  test('a suspended identity loses its streams at once, its connection, and every later call', async () => {
    const spiffeId = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/suspended`);
    const { credential } = enrolled(spiffeId);
    const bystander = await connectWith(enrolled().credential);
    const connection = await connectWith(credential);
    const { stream } = await discover(connection, { typeUrl: TRUST_BUNDLE_TYPE });
    const ended = once(stream, 'error');
    plane.revoked.suspendedSpiffeIds.push(spiffeId);
    await plane.revokedChanged();
    refused('suspended')((await ended)[0]);
    await connection.closed;
    const again = await connectWith(credential);
    await assert.rejects(renewFor(again, [spiffeId]), refused('suspended'));
    await renewFor(bystander, [ORDERS]);
    again.destroy();
    bystander.destroy();
  });

  test('a revoked certificate loses its streams at once; another of the same identity does not', async () => {
    const revoked = enrolled().credential;
    const connection = await connectWith(revoked);
    const other = await connectWith(enrolled().credential);
    const { stream } = await discover(connection, { typeUrl: TRUST_BUNDLE_TYPE });
    const ended = once(stream, 'error');
    const { spkiSha256 } = plane.authority.issuing;
    plane.revoked.certificates.push({
      $typeName: 'countersign.v1.RevokedCertificate',
      forDrill: false,
      subject: new Uint8Array(),
      issuerKeySha256: Buffer.from(spkiSha256, 'hex'),
      serial: revoked.certificate.serial,
    });
    await plane.revokedChanged();
    refused('revoked')((await ended)[0]);
    await connection.closed;
    const again = await connectWith(revoked);
    await assert.rejects(discover(again, { typeUrl: TRUST_BUNDLE_TYPE }), refused('revoked'));
    await renewFor(other, [ORDERS]);
    again.destroy();
    other.destroy();
  });

  test('a certificate that expires on an open connection', async () => {
    const connection = await connectWith(enrolled(ORDERS, { notAfter: plane.clock.now() + HOUR_MS }).credential);
    const { stream } = await discover(connection, { typeUrl: TRUST_BUNDLE_TYPE });
    const ended = once(stream, 'error');
    plane.clock.advance(HOUR_MS + 1_000);
    plane.listener.recheck();
    refused('certificate-expired')((await ended)[0]);
    await connection.closed;
  });
});

describe('the TLS port', () => {
  test('speaks no TLS 1.2', async () => {
    const socket = dial({ maxVersion: 'TLSv1.2' });
    const [error] = await once(socket, 'error');
    assert.match(String(error.code), /PROTOCOL_VERSION|ECONNRESET/);
  });

  test('closes a connection that does not speak HTTP/2', async () => {
    const socket = dial({ ALPNProtocols: [] });
    socket.on('error', () => {});
    await once(socket, 'close');
  });

  test('resumes no session: each connection is judged', async () => {
    const { credential } = enrolled();
    const cert = credential.chain.map((der) => encodePem('CERTIFICATE', der)).join('');
    const identity = { cert, key: credential.key.export({ type: 'pkcs8', format: 'pem' }) };
    const first = dial(identity);
    const [session] = await once(first, 'session');
    first.destroy();
    const second = dial({ ...identity, session });
    await once(second, 'secureConnect');
    assert.equal(second.isSessionReused(), false);
    second.destroy();
  });

  test('closes who does not shake hands in time', async () => {
    await using short = await startTestControlPlane({ limits: { handshakeTimeoutMs: 50 } });
    const socket = connectTcp(short.control).resume();
    socket.on('error', () => {});
    await once(socket, 'close');
    assert.equal(short.listener.connections, 0);
  });

  test('takes no more connections than its limit', async () => {
    await using small = await startTestControlPlane({ limits: { maximumConnections: 1 } });
    const first = connect({ ...small.control, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
    await once(first, 'secureConnect');
    const second = connectTcp(small.control).resume();
    second.on('error', () => {});
    await once(second, 'close');
    first.destroy();
  });

  test('changes its certificate for new connections and keeps the open ones', async () => {
    const before = await connectWith(enrolled().credential);
    const { certificate, fullChain, key } = plane.authority.issue({ uris: [`spiffe://${TRUST_DOMAIN}/prod/countersign/control-plane`] });
    plane.listener.setCredentials({ chain: fullChain, key });
    const socket = dial({});
    await once(socket, 'secureConnect');
    assert.ok(socket.getPeerCertificate().raw.equals(certificate.der));
    socket.destroy();
    await renewFor(before, [ORDERS]);
    before.destroy();
  });
});
