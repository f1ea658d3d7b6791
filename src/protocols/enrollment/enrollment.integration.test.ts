import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { createJoinToken } from '../../control/access/create-join-token.ts';
import type { JoinRole } from '../../control/access/join-role.ts';
import type { StagedEntry } from '../../control/audit/entry.ts';
import { type Authorities, pinnedRoot } from '../../control/ca/authorities.ts';
import { findCertificate } from '../../control/ca/certificate-store.ts';
import { initializeAuthorities } from '../../control/ca/initialize-authorities.ts';
import { issueCertificate } from '../../control/ca/issue-certificate.ts';
import { openAuthorities } from '../../control/ca/open-authorities.ts';
import { findProfile } from '../../control/ca/prepare-certificate.ts';
import { revokeCertificate } from '../../control/ca/revoke-certificate.ts';
import { DeclaredProfiles } from '../../control/policies/declared-profiles.ts';
import { deleteProfile, upsertProfile } from '../../control/policies/profile-store.ts';
import { parseProfileSpec } from '../../core/issuance/parse-profile-spec.ts';
import { profileDigest, type ProfileSpec } from '../../core/issuance/profile-spec.ts';
import { readTrustBundle } from '../../control/ca/trust-bundle.ts';
import { readRevokedSet } from '../../control/ca/revoked-set.ts';
import { resumeIdentity, suspendIdentity } from '../../control/ca/suspend-identity.ts';
import { unlockKeys } from '../../control/ca/unlock-keys.ts';
import { encodeJoinToken, parseJoinToken } from '../../core/identity/join-token.ts';
import { controlPlaneSpiffeId, parseSpiffeId, probeSpiffeId, type SpiffeId } from '../../core/identity/spiffe-id.ts';
import { parseTrustDomain } from '../../core/identity/trust-domain.ts';
import {
  EnrollmentService,
  IssueDrillCertificateRequestSchema,
  JoinRequestSchema,
  RenewRequestSchema,
  RevokeDrillCertificateRequestSchema,
} from '../../core/messages/generated/countersign/v1/enrollment_pb.ts';
import { Secret } from '../../core/secrets/secret.ts';
import { HOUR_MS } from '../../core/time/instant.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { joinControlPlane } from '../../dataplane/link/join-control-plane.ts';
import { ACCEPTED, type LinkStatus } from '../../dataplane/link/link-handlers.ts';
import { deltaMethod as discovery } from '../../dataplane/link/subscription.ts';
import { type Link, openLink } from '../../dataplane/link/open-link.ts';
import { openRpcConnection } from '../../dataplane/link/rpc-connection.ts';
import { ManualClock } from '../../platform/clock/clock.ts';
import { makeSignal } from '../../platform/clock/signal.ts';
import { openDatabase } from '../../platform/db/open-database.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import { makePrivateKey } from '../../platform/keystore/make-private-key.ts';
import { openStateDirectory } from '../../platform/keystore/state-directory.ts';
import { authenticateNode, dismissalOf } from '../data-plane/authenticate-node.ts';
import { type DataPlaneListener, openDataPlaneListener } from '../data-plane/data-plane-listener.ts';
import { followRevocations, openRevokedIndex } from '../data-plane/revoked-index.ts';
import { deltaMethod } from '../xds/delta-stream.ts';
import { revokedSetSource, trustBundleSource } from '../xds/authority-sources.ts';
import { issueDrillMethod, revokeDrillMethod } from './drill-certificate.ts';
import { joinMethod } from './join.ts';
import { renewMethod } from './renew.ts';

const TRUST_DOMAIN = parseTrustDomain('example.test');
const CONTROL_PLANE = controlPlaneSpiffeId(TRUST_DOMAIN, 'prod');
const PROBE = probeSpiffeId(TRUST_DOMAIN, 'prod');
const admin = { kind: 'person', name: 'ada' } as const;
const clock = new ManualClock(Date.UTC(2026, 10, 24));
const name = (service: string): SpiffeId => parseSpiffeId(`spiffe://${TRUST_DOMAIN}/prod/${service}`);

/** The control plane as server.ts wires it: real store, real CA, real listener. */
async function startControlPlane() {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-enrollment-'));
  const entries: StagedEntry[] = [];
  const database = await openDatabase<StagedEntry>({
    url: `sqlite:${join(folder, 'db.sqlite')}`,
    seal: async (_queries, staged) => void entries.push(...staged),
  });
  const kek = await unlockKeys({ database }, { kind: 'passphrase', passphrase: new Secret(randomBytes(20).toString('hex')) }, clock.now());
  await initializeAuthorities(
    { database, kek },
    { trustDomain: TRUST_DOMAIN, environment: '*', region: 'eu', keyType: 'P-256', crlBaseUrl: null },
    admin,
    clock.now(),
  );
  const profiles = new DeclaredProfiles();
  const authorities: Authorities = { ...(await openAuthorities({ database, kek })), profiles };
  const changed = makeSignal();
  const index = await openRevokedIndex(() => readRevokedSet(database.queries));
  const listener: DataPlaneListener = await openDataPlaneListener({
    host: '127.0.0.1',
    port: 0,
    credentials: await ownCredentials(database, authorities),
    authenticate: (chain) =>
      authenticateNode(
        {
          trust: () => ({ anchors: authorities.roots, intermediates: authorities.issuing.map(({ certificate }) => certificate) }),
          findCertificate: (issuer, serial) => findCertificate(database.queries, issuer, serial),
          graceMs: (environment, profile) => findProfile(authorities, environment, profile)?.renewalGraceMs ?? 0,
          revoked: index,
          clock,
        },
        chain,
      ),
    dismissal: (node) => dismissalOf(clock.now(), index, node),
    methods: [
      ...enrollmentMethods(database, authorities, changed),
      deltaMethod({
        sources: [
          trustBundleSource({ read: () => readTrustBundle(database.queries), changes: changed }),
          revokedSetSource({ trustDomain: TRUST_DOMAIN, read: () => readRevokedSet(database.queries), changes: changed }),
        ],
        recordAcknowledgement: async () => {},
        log: () => {},
      }),
    ],
    clock,
    log: () => {},
  });
  const following = followRevocations({
    index,
    signal: changed,
    changed: () => listener.recheck(),
    failed: (error) => assert.ifError(error),
  });
  return {
    database,
    authorities,
    profiles,
    changed,
    entries,
    control: { host: '127.0.0.1', port: listener.port },
    listener,
    async [Symbol.asyncDispose]() {
      following[Symbol.dispose]();
      await listener[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
    },
  };
}

type Database = Awaited<ReturnType<typeof openDatabase<StagedEntry>>>;

async function ownCredentials(database: Database, authorities: Authorities) {
  const key = await makePrivateKey();
  const { chain } = await issueCertificate(
    { database, authorities },
    {
      door: 'control-plane',
      profile: 'control-plane',
      asker: { role: 'control-plane', scope: '*', spiffeId: null },
      actor: { kind: 'system', name: 'server' },
      csr: parseCertificateRequest(buildCertificateRequest({ uris: [CONTROL_PLANE] }, key)),
      spiffeId: CONTROL_PLANE,
      names: { dns: ['localhost'], ip: ['127.0.0.1'] },
      proxyId: null,
      environment: 'prod',
      region: 'eu',
    },
    clock.now(),
  );
  return { key, chain: [...chain, pinnedRoot(authorities).der] };
}

function enrollmentMethods(database: Database, authorities: Authorities, changed: ReturnType<typeof makeSignal>) {
  const deps = {
    issue: (request: Parameters<typeof issueCertificate>[1], now: number) => issueCertificate({ database, authorities }, request, now),
    queries: database.queries,
    roots: () => authorities.roots.map(({ der }) => der),
    clock,
    environmentOfJob: async (jobId: string) => (['drill_1', 'drill_9'].includes(jobId) ? 'prod' : jobId === 'drill_2' ? 'staging' : null),
    revoke: (...[revocation, actor, now]: [Parameters<typeof revokeCertificate>[1], Parameters<typeof revokeCertificate>[2], number]) =>
      revokeCertificate({ database, changed }, revocation, actor, now),
    issuerKeys: () => authorities.issuing.map(({ keySha256 }) => keySha256),
  };
  return [joinMethod({ ...deps, machineTokens: null }), renewMethod(deps), issueDrillMethod(deps), revokeDrillMethod(deps)];
}

let plane: Awaited<ReturnType<typeof startControlPlane>>;
const links: Link[] = [];
before(async () => (plane = await startControlPlane()));
after(async () => {
  for (const link of links) await link[Symbol.asyncDispose]();
  await plane[Symbol.asyncDispose]();
});

async function newToken(spiffeId: SpiffeId, role: JoinRole = 'sidecar', ttlMs = HOUR_MS) {
  const rootSpkiSha256 = pinnedRoot(plane.authorities).spkiSha256;
  const request = {
    spiffeId,
    role,
    proxyName: 'one',
    environment: 'prod',
    region: 'eu',
    ttlMs,
    rootSpkiSha256,
    controlPlane: CONTROL_PLANE,
  };
  return parseJoinToken((await createJoinToken({ database: plane.database }, request, admin, clock.now())).reveal());
}

/** A profile named workload in prod until the result is called. */
async function declareWorkload(spec: ProfileSpec): Promise<() => Promise<void>> {
  const { database, profiles } = plane;
  const id = newEntityId('profile', clock.now());
  const place = { environment: 'prod', region: 'eu' } as const;
  const record = { ...spec, ...place, id, name: 'workload' as const, digest: profileDigest(spec), updatedAt: clock.now() };
  await database.commit((unit) => upsertProfile(unit.queries, record));
  await profiles.reload(database.queries);
  return async () => {
    await database.commit((unit) => deleteProfile(unit.queries, id));
    await profiles.reload(database.queries);
  };
}

const freshState = async () => openStateDirectory(await mkdtemp(join(tmpdir(), 'countersign-state-')));
const joinWith = async (token: Awaited<ReturnType<typeof newToken>>, state = freshState()) =>
  joinControlPlane({ state: await state, control: plane.control, token, clock });

async function joined(spiffeId: SpiffeId, role: JoinRole = 'sidecar'): Promise<Link> {
  const state = await freshState();
  await joinControlPlane({ state, control: plane.control, token: await newToken(spiffeId, role), clock });
  const connected = Promise.withResolvers<void>();
  const handlers = {
    onTrustBundle: async () => ACCEPTED,
    onRevokedSet: async () => ACCEPTED,
    onSettings: async () => ACCEPTED,
    onIdentity: async () => {},
    onStatus: ({ kind }: { kind: string }) => kind === 'connected' && connected.resolve(),
  };
  const link = await openLink({ state, control: plane.control, handlers, clock, log: () => {} });
  links.push(link);
  await connected.promise;
  return link;
}

const lifeOf = ({ identity }: Link): number => parseCertificate(identity.chain[0]!).notAfter - clock.now();

describe('join', () => {
  test('a token buys the first certificate, and with it a stream and a renewal', async () => {
    const link = await joined(name('orders'));
    const leaf = parseCertificate(link.identity.chain[0]!);
    assert.deepEqual(leaf.subjectAltNames.uri, [name('orders')]);
    await link.renew();
    assert.notEqual(parseCertificate(link.identity.chain[0]!).serialHex, leaf.serialHex);
    const renewed = await findCertificate(
      plane.database.queries,
      plane.authorities.issuing[0]!.keySha256,
      parseCertificate(link.identity.chain[0]!).serial,
    );
    assert.equal(renewed?.proxyId, link.identity.proxyId, 'the new certificate is of the same data plane');
  });

  test('a declared profile named workload is what proxies join and renew with, in its environment, and it may name them', async () => {
    const spec = parseProfileSpec({
      base: 'workload',
      lifetime: { usual: '2h', max: '3h' },
      names: { services: ['orders', 'payments'] },
      askers: { join: { identities: [name('orders'), name('stranger')] }, renewal: { identities: [name('orders')] } },
    });
    const undeclare = await declareWorkload(spec);
    const link = await joined(name('orders'));
    assert.ok(lifeOf(link) <= 2 * HOUR_MS && lifeOf(link) > HOUR_MS);
    await link.renew();
    assert.ok(lifeOf(link) <= 2 * HOUR_MS);
    await assert.rejects(joinWith(await newToken(name('payments'))), { code: 'issuance-refused' }, 'not named');
    await assert.rejects(joinWith(await newToken(name('stranger'))), { code: 'issuance-refused' }, 'named, but no service of the profile');
    await undeclare();
    assert.ok(lifeOf(await joined(name('orders'))) > 20 * HOUR_MS, 'the profile of the product again');
  });

  test('a used token is refused to another key, and given again to the same', async () => {
    const token = await newToken(name('payments'));
    const state = await freshState();
    const key = await makePrivateKey();
    await state.writeJoiningKey(key);
    const first = await joinWith(token, Promise.resolve(state));
    await assert.rejects(joinWith(token), { code: 'token-refused' });
    // The answer was lost, the key was kept.
    await state.writeJoiningKey(key);
    const again = await joinWith(token, Promise.resolve(state));
    assert.equal(again.proxyId, first.proxyId);
    assert.equal(await state.readJoiningKey(), null);
  });

  test('refuses a token that is expired, unknown, or has another secret', async () => {
    const expired = await newToken(name('orders'), 'sidecar', HOUR_MS);
    clock.advance(HOUR_MS + 1);
    await assert.rejects(joinWith(expired), { code: 'token-refused' });
    const token = await newToken(name('orders'));
    await assert.rejects(joinWith({ ...token, tokenId: newEntityId('token', clock.now()) }), { code: 'token-refused' });
    await assert.rejects(joinWith({ ...token, secret: new Secret(randomBytes(32).toString('base64url')) }), { code: 'token-refused' });
  });

  test('refuses a request for another name, a broken one, and a version that is a book; the token stays good', async () => {
    const token = await newToken(name('shipping'));
    const connection = await openRpcConnection({ control: plane.control, certificate: null, judge: () => {} });
    const ask = (csr: Uint8Array, version = '0.1.0') =>
      connection.call(
        EnrollmentService.method.join,
        create(JoinRequestSchema, { token: encodeJoinToken(token).reveal(), csr, version: { version } }),
      );
    const key = await makePrivateKey();
    await assert.rejects(ask(buildCertificateRequest({ uris: [name('payments')] }, key)), { code: 'forbidden' });
    await assert.rejects(ask(buildCertificateRequest({ uris: [name('shipping')], dnsNames: ['x.test'] }, key)), { code: 'forbidden' });
    await assert.rejects(ask(randomBytes(300)), { code: 'csr-malformed' });
    await assert.rejects(ask(buildCertificateRequest({}, key), 'x'.repeat(65)), { code: 'input-invalid' });
    // What a stranger sends is not even read.
    const strange = encodeJoinToken({ ...token, secret: new Secret(randomBytes(32).toString('base64url')) }).reveal();
    await assert.rejects(
      connection.call(EnrollmentService.method.join, create(JoinRequestSchema, { token: strange, csr: randomBytes(300) })),
      {
        code: 'token-refused',
      },
    );
    await assert.rejects(connection.call(EnrollmentService.method.join, create(JoinRequestSchema, { token: 'csjoin1.e30' })), {
      code: 'token-refused',
    });
    assert.equal((await ask(buildCertificateRequest({ uris: [name('shipping')] }, key))).spiffeId, name('shipping'));
    connection.destroy();
  });

  test('what a request says about its secret is in no log entry', async () => {
    const token = await newToken(name('inventory'));
    await joinWith(token);
    assert.ok(!JSON.stringify(plane.entries).includes(token.secret.reveal()));
  });
});

test('a suspended identity gets no join, no renewal and no stream, until it is resumed', async () => {
  const spiffeId = name('customers');
  const link = await joined(spiffeId);
  const change = { spiffeId, region: 'eu', reason: 'laptop stolen' };
  const tokenBefore = await newToken(spiffeId);
  await suspendIdentity(plane, change, admin, clock.now());
  await assert.rejects(link.renew());
  await assert.rejects(joinWith(tokenBefore), { code: 'issuance-refused' });
  await resumeIdentity(plane, change, admin, clock.now());
  await joinWith(tokenBefore);
});

const withGrace = (renewalGrace?: string) =>
  parseProfileSpec({ base: 'workload', lifetime: { usual: '1h', max: '1h' }, ...(renewalGrace === undefined ? {} : { renewalGrace }) });

/** Joined, away until `after` its certificate's end, and back. */
async function returning(spiffeId: SpiffeId, after: number) {
  const state = await freshState();
  await joinControlPlane({ state, control: plane.control, token: await newToken(spiffeId), clock });
  const identity = (await state.readIdentity())!;
  const leaf = parseCertificate(identity.chain[0]!);
  clock.advance(leaf.notAfter - clock.now() + after);
  const [connected, offline] = [Promise.withResolvers<void>(), Promise.withResolvers<string>()];
  const open = async (): Promise<Link> => {
    const handlers = {
      onTrustBundle: async () => ACCEPTED,
      onRevokedSet: async () => ACCEPTED,
      onSettings: async () => ACCEPTED,
      onIdentity: async () => {},
      onStatus: (status: LinkStatus) =>
        status.kind === 'connected' ? connected.resolve() : status.kind === 'offline' && offline.resolve(status.detail),
    };
    const link = await openLink({ state, control: plane.control, handlers, clock, log: () => {} });
    links.push(link);
    return link;
  };
  const connect = () =>
    openRpcConnection({ control: plane.control, certificate: { chain: identity.chain, key: identity.privateKey }, judge: () => {} });
  return { leaf, state, identity, open, connect, connected: connected.promise, offline: offline.promise };
}

describe('a certificate that has ended', () => {
  test('is renewed within the grace of its profile by the data plane that holds it, which then goes on as before', async () => {
    const undeclare = await declareWorkload(withGrace('2h'));
    const back = await returning(name('orders'), HOUR_MS);
    const link = await back.open();
    await back.connected;
    const leaf = parseCertificate(link.identity.chain[0]!);
    assert.notEqual(leaf.serialHex, back.leaf.serialHex);
    assert.ok(leaf.notAfter > clock.now());
    assert.notEqual(leaf.spkiSha256, back.leaf.spkiSha256, 'with a new key');
    assert.equal(link.identity.proxyId, back.identity.proxyId);
    const kept = (await back.state.readIdentity())!;
    assert.equal(parseCertificate(kept.chain[0]!).serialHex, leaf.serialHex, 'and is on disk');
    await undeclare();
  });

  test('is good for nothing else: no discovery, no drill, and no name but its own', async () => {
    const undeclare = await declareWorkload(withGrace('2h'));
    const back = await returning(name('orders'), HOUR_MS);
    const connection = await back.connect();
    const before = plane.listener.refusals().get('certificate-expired') ?? 0;
    const [error] = await once(connection.stream(discovery), 'error');
    assert.match(String(error), /certificate-expired/);
    const drill = create(IssueDrillCertificateRequestSchema, { jobId: 'drill_1', kind: 'expired' });
    await assert.rejects(connection.call(EnrollmentService.method.issueDrillCertificate, drill), { code: 'forbidden' });
    assert.equal((plane.listener.refusals().get('certificate-expired') ?? 0) - before, 2);
    const csr = buildCertificateRequest({ uris: [name('payments')] }, await makePrivateKey());
    await assert.rejects(connection.call(EnrollmentService.method.renew, create(RenewRequestSchema, { csr })), { code: 'forbidden' });
    connection.destroy();
    await undeclare();
  });

  const refusals: { readonly [what: string]: readonly [grace: string | undefined, after: number, forbid: string | null, reason: RegExp] } =
    {
      'past the grace': ['2h', 2 * HOUR_MS + 1, null, /certificate-expired/],
      'of a profile without grace': [undefined, 1, null, /certificate-expired/],
      'that was revoked': ['2h', HOUR_MS, 'revoke', /revoked/],
      'of a suspended identity': ['2h', HOUR_MS, 'suspend', /suspended/],
    };
  for (const [what, [grace, after, forbid, reason]] of Object.entries(refusals)) {
    test(`is not renewed: one ${what}`, async () => {
      const undeclare = await declareWorkload(withGrace(grace));
      const spiffeId = name('ended');
      const back = await returning(spiffeId, after);
      const { serial } = back.leaf;
      const issuerKeySha256 = plane.authorities.issuing[0]!.keySha256;
      if (forbid === 'revoke') await revokeCertificate(plane, { issuerKeySha256, serial, reason: 'superseded' }, admin, clock.now());
      const change = { spiffeId, region: 'eu', reason: 'test' };
      if (forbid === 'suspend') await suspendIdentity(plane, change, admin, clock.now());
      const before = plane.entries.length;
      const link = await back.open();
      assert.match(await back.offline, reason);
      assert.equal(parseCertificate(link.identity.chain[0]!).serialHex, back.leaf.serialHex);
      await link[Symbol.asyncDispose]();
      assert.equal(plane.entries.length, before, 'who holds it for ever fills no log');
      if (forbid === 'suspend') await resumeIdentity(plane, change, admin, clock.now());
      await undeclare();
    });
  }

  test('is worth nothing without its key', async () => {
    const undeclare = await declareWorkload(withGrace('2h'));
    const back = await returning(name('orders'), HOUR_MS);
    const key = await makePrivateKey();
    const certificate = { chain: back.identity.chain, key };
    await assert.rejects(openRpcConnection({ control: plane.control, certificate, judge: () => {} }));
    await undeclare();
  });

  test('on a connection that is open, ends with the grace', async () => {
    const undeclare = await declareWorkload(withGrace('2h'));
    const back = await returning(name('orders'), HOUR_MS);
    const connection = await back.connect();
    clock.advance(HOUR_MS + 1);
    const csr = buildCertificateRequest({}, await makePrivateKey());
    await assert.rejects(connection.call(EnrollmentService.method.renew, create(RenewRequestSchema, { csr })), {
      message: /certificate-expired/,
    });
    plane.listener.recheck();
    await connection.closed;
    await undeclare();
  });
});

const orderOf = async (link: Link, kind: string, jobId = 'drill_1') =>
  link.issueDrillCertificate({ jobId, kind, csr: buildCertificateRequest({}, await makePrivateKey()) });

describe('drills', () => {
  test('the probe gets flawed credentials for an open job, and may revoke these alone', async () => {
    const probe = await joined(PROBE, 'scanner');
    for (const kind of ['positive', 'expired', 'not-yet-valid', 'wrong-usage', 'revoked']) {
      const [leaf] = await orderOf(probe, kind);
      assert.deepEqual(parseCertificate(leaf!).subjectAltNames.uri, [PROBE], kind);
    }
    const stranger = parseCertificate((await orderOf(probe, 'wrong-identity'))[0]!);
    assert.notDeepEqual(stranger.subjectAltNames.uri, [PROBE]);
    const { serial } = parseCertificate((await orderOf(probe, 'revoked'))[0]!);
    const sequence = await probe.revokeDrillCertificate({ jobId: 'drill_1', serial });
    assert.ok((await readRevokedSet(plane.database.queries)).sequence >= Number(sequence));
    const own = parseCertificate(probe.identity.chain[0]!).serial;
    const orders = parseCertificate(links[0]!.identity.chain[0]!).serial;
    for (const other of [own, orders, randomBytes(16), new Uint8Array(), randomBytes(100)]) {
      await assert.rejects(probe.revokeDrillCertificate({ jobId: 'drill_1', serial: other }), { code: 'not-found' });
    }
  });

  test('refuses unknown kinds, unknown jobs and jobs of another environment', async () => {
    const probe = await joined(PROBE, 'scanner');
    await assert.rejects(orderOf(probe, 'constructor'), { code: 'input-invalid' });
    for (const job of ['drill_2', 'drill_3', '', 'x'.repeat(10_000)])
      await assert.rejects(orderOf(probe, 'expired', job), { code: 'not-found' });
  });

  test('a prober gets no more credentials than a run can need', async () => {
    const probe = await joined(PROBE, 'scanner');
    const csr = buildCertificateRequest({}, await makePrivateKey());
    const order = () => probe.issueDrillCertificate({ jobId: 'drill_9', kind: 'expired', csr });
    for (let times = 0; times < 64; times++) await order();
    await assert.rejects(order(), { code: 'rate-limited' });
  });

  test('refuses everybody but the probe', async () => {
    const [orders] = links;
    await assert.rejects(orderOf(orders!, 'expired'), { code: 'forbidden' });
    await assert.rejects(orders!.revokeDrillCertificate({ jobId: 'drill_1', serial: randomBytes(16) }), { code: 'forbidden' });
    assert.ok((plane.listener.refusals().get('probe-only') ?? 0) >= 2);
  });

  test("a drill's credential opens no stream, though it verifies", async () => {
    const probe = await joined(PROBE, 'scanner');
    const key = await makePrivateKey();
    const chain = await probe.issueDrillCertificate({ jobId: 'drill_1', kind: 'positive', csr: buildCertificateRequest({}, key) });
    const connection = await openRpcConnection({ control: plane.control, certificate: { chain, key }, judge: () => {} });
    const call = connection.call(
      EnrollmentService.method.issueDrillCertificate,
      create(IssueDrillCertificateRequestSchema, { jobId: 'drill_1', kind: 'expired' }),
    );
    await assert.rejects(call, { code: 'forbidden' });
    const revoke = connection.call(EnrollmentService.method.revokeDrillCertificate, create(RevokeDrillCertificateRequestSchema, {}));
    await assert.rejects(revoke, { code: 'forbidden' });
    connection.destroy();
  });
});
