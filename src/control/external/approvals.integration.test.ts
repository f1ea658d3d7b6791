import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ada } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type ExternalLab, newKey, openExternalLab } from '../../../test/support/external-lab.ts';
import { pebbleProgram, startPebble } from '../../../test/support/pebble.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import { DAY_MS, HOUR_MS } from '../../core/time/instant.ts';
import { createToken } from '../access/create-token.ts';
import type { Role } from '../access/role.ts';
import { endAccessToken } from '../access/store.ts';
import { reconcileRequests } from '../ca/finish-request.ts';
import { approveRequest, denyRequest } from '../ca/judge-request.ts';
import { listCertificates } from '../ca/search-certificates.ts';
import type { WaitingRequest } from '../ca/waiting-request.ts';
import { findWaiting, listOpen } from '../ca/waiting-store.ts';
import type { ExternalOrder } from './external-order.ts';
import type { ForeignCertificate } from './foreign-certificate.ts';
import { findForeignCertificate, postponeRenewal } from './foreign-certificate-store.ts';
import { listExternalOrders } from './order-store.ts';
import { renewCertificates } from './renew-certificates.ts';
import { makeStartOrder } from './start-order.ts';

const skip = pebbleProgram === null && process.env['CI'] !== 'true' ? 'no Pebble here' : false;
const nowhere = { directoryUrl: 'https://ca.example/directory', anchorsPem: null, rootsPem: null };
const [publicWeb, brief] = ['public-web', 'brief'] as unknown as [ProfileName, ProfileName];
const web = (change: object = {}) => ({
  base: 'server',
  askers: { external: { roles: ['ci', 'operator'] } },
  approvals: { count: 1, role: 'operator', within: '24h' },
  ...change,
});

/** A lab with a profile that persons have to approve of, and persons who do. */
async function open(url: string) {
  const lab = await openExternalLab(url);
  await lab.declareProfile('public-web', web());
  const { database } = lab.deps;
  const deps = { ...lab.deps, startOrder: makeStartOrder(lab.deps) };
  const tokenOf = async (name: string, role: Role = 'operator') => {
    const request = { name, role, scope: '*', environment: 'production', region: 'local', ttlMs: null } as const;
    const { tokenId } = await createToken({ database }, request, ada, lab.clock.now());
    return { principal: { tokenId, name, role, scope: '*' }, actor: { kind: 'person', name } } as const;
  };
  const [grace, linus] = [await tokenOf('grace'), await tokenOf('linus')];
  return {
    lab,
    deps,
    tokenOf,
    grace,
    linus,
    approve: (by: Awaited<ReturnType<typeof tokenOf>>, { id }: Pick<WaitingRequest, 'id'>) =>
      approveRequest(deps, { id, ...by }, lab.clock.now()),
    orders: () => listExternalOrders(database.queries, '*', 100),
    [Symbol.asyncDispose]: lab[Symbol.asyncDispose],
  };
}

async function waits(asked: ReturnType<ExternalLab['ask']>): Promise<WaitingRequest> {
  const answer = await asked;
  assert.ok(answer.kind === 'waiting', JSON.stringify(answer));
  return answer.request;
}

function endProcess(): Promise<never> {
  return Promise.reject(new Error('the process ended'));
}

/** The other CA keeps the real time, so ours is not set ahead: its time has come all the same. */
async function renewNow(lab: ExternalLab, held: ForeignCertificate): Promise<void> {
  await lab.ca.database.commit((unit) => postponeRenewal(unit.queries, held, lab.clock.now()));
}

async function orderOf(lab: ExternalLab, { orderId }: WaitingRequest): Promise<ExternalOrder> {
  return lab.find(orderId!);
}

forEachDatabase('what persons have to approve of before another CA is asked', (newUrl) => {
  test('waits, is ordered with the last approval, and is renewed without asking them again', { skip }, async () => {
    await using scene = await open(await newUrl());
    const { lab, grace, linus, approve, orders } = scene;
    await using pebble = await startPebble({ dns: lab.dns.address, httpPort: lab.httpPort });
    const { directoryUrl, anchorsPem } = pebble;
    const authority = await lab.declare({ directoryUrl, anchorsPem, rootsPem: await pebble.rootPem(), judgedBy: [publicWeb] });
    const csr = parseCertificateRequest(buildCertificateRequest({ dnsNames: ['www.acme.test'] }, newKey()));
    const request = await waits(lab.ask(authority, [], { csr }));
    assert.equal((await waits(lab.ask(authority, [], { csr }))).id, request.id, 'asked again it is the same');
    assert.deepEqual(await orders(), [], 'no other CA hears of it');
    const approved = await approve(grace, request);
    assert.deepEqual([approved.status, approved.settledAt !== null], ['ordered', true]);
    const order = await lab.drive(await orderOf(lab, approved));
    assert.equal(order.status, 'issued', order.detail ?? '');
    assert.deepEqual([order.profile, order.askerRole, order.approvals], ['public-web', 'ci', { count: 1, role: 'operator' }]);
    const [record] = await listCertificates(lab.ca.database.queries, { environments: '*', door: 'external', limit: 5 });
    assert.deepEqual([record?.profile, record?.asker, record?.askerRole], ['public-web', 'ada', 'ci']);
    const logged = lab.ca.entries.filter(({ data }) => data['requestId'] === request.id).map(({ type }) => type);
    assert.deepEqual(logged, ['issuance-request.filed', 'issuance-request.approved', 'external-order.requested']);

    const { queries } = lab.ca.database;
    const held = (await findForeignCertificate(queries, order.certificate!))!;
    await renewNow(lab, held);
    assert.equal(await renewCertificates(lab.deps, lab.clock.now()), 1, 'the same key, names and profile were approved of');
    const renewed = await lab.drive((await orders())[0]!);
    assert.deepEqual([renewed.status, renewed.firstAskedBy, renewed.askedBy.kind], ['issued', ada, 'system'], renewed.detail ?? '');

    // The profile demands more than the first had: a request waits, and the first asker is still not who may agree.
    await lab.declareProfile('public-web', web({ approvals: { count: 2, role: 'operator', within: '24h' } }));
    const second = (await findForeignCertificate(queries, renewed.certificate!))!;
    await renewNow(lab, second);
    assert.equal(await renewCertificates(lab.deps, lab.clock.now()), 0);
    const [open_] = await listOpen(queries, 5);
    assert.deepEqual([open_?.asker, open_?.tokenId, open_?.content.external?.authority], ['ada', null, 'pebble']);
    await assert.rejects(approve(await scene.tokenOf('Ada'), open_!), { code: 'forbidden', message: /who asked for it/ });
    assert.equal((await approve(grace, open_!)).status, 'waiting');
    const agreed = await approve(linus, open_!);
    assert.equal(agreed.status, 'ordered');
    const third = await lab.drive(await orderOf(lab, agreed));
    assert.deepEqual([third.status, third.detail, third.askedBy.kind, third.approvals?.count], ['issued', null, 'system', 2]);
    assert.equal((await findForeignCertificate(queries, second))!.finding, 'superseded');
  });

  test(
    'what the CA gives is not taken if it lasts longer than the profile lets it, and is not asked for once that is known',
    { skip },
    async () => {
      await using scene = await open(await newUrl());
      const { lab } = scene;
      await using pebble = await startPebble({ dns: lab.dns.address, httpPort: lab.httpPort });
      const { directoryUrl, anchorsPem } = pebble;
      const authority = await lab.declare({ directoryUrl, anchorsPem, rootsPem: await pebble.rootPem(), judgedBy: [brief, 'server'] });
      await lab.declareProfile('brief', { base: 'server', lifetime: { usual: '2d', max: '3d' } });
      const refused = await lab.drive(await lab.request(authority, ['www.acme.test'], { profile: brief }));
      assert.equal(refused.status, 'failed');
      assert.match(refused.detail ?? '', /certificateRefused: the certificate lasts [0-9.]+ days, expected at most 3 days/);
      assert.equal((await listCertificates(lab.ca.database.queries, { environments: '*', door: 'external', limit: 5 })).length, 0);
      const granted = {
        role: 'ci',
        scope: '*',
        spiffeId: null,
        grant: {
          source: 'ci/deploy',
          environment: 'production',
          doors: ['external'],
          profiles: ['server'],
          spiffeId: null,
          dnsNames: ['www.acme.test'],
          ipAddresses: [],
          maxLifetimeMs: DAY_MS,
        },
      } as const;
      const bounded = await lab.drive(await lab.request(authority, ['www.acme.test'], { profile: 'server', asker: granted }));
      assert.match(bounded.detail ?? '', /expected at most 1 days/, 'nor than the credential does');
      const order = await lab.drive(await lab.request(authority, ['www.acme.test'], { profile: 'server' }));
      assert.equal(order.status, 'issued', order.detail ?? '');
      const renews = (await findForeignCertificate(lab.ca.database.queries, order.certificate!))!;
      await assert.rejects(lab.request(authority, ['www.acme.test'], { profile: brief, renews }), /lifetime: pebble gives/);
    },
  );

  test('is not approved by who asked, without the role or a live token, and is denied or expires like any other', async () => {
    await using scene = await open(await newUrl());
    const { lab, deps, approve, tokenOf, grace, orders } = scene;
    const authority = await lab.declare({ ...nowhere, judgedBy: [publicWeb] });
    const request = await waits(lab.ask(authority, ['www.acme.test']));
    await assert.rejects(approve(await tokenOf('ada'), request), { code: 'forbidden' });
    await assert.rejects(approve(await tokenOf('eve', 'auditor'), request), { code: 'forbidden' });
    await assert.rejects(approve(await tokenOf('release', 'ci'), request), { code: 'forbidden' });
    const gone = await tokenOf('mallory');
    await lab.ca.database.commit((unit) => endAccessToken(unit.queries, gone.principal.tokenId, lab.clock.now()));
    await assert.rejects(approve(gone, request), { code: 'forbidden', message: /token has ended/ });
    assert.equal((await denyRequest(deps, { id: request.id, ...grace, reason: 'not now' }, lab.clock.now())).status, 'denied');
    await assert.rejects(approve(grace, request), { code: 'state-conflict' });
    const late = await waits(lab.ask(authority, ['api.acme.test']));
    lab.advance(25 * HOUR_MS);
    await reconcileRequests(deps, lab.clock.now());
    assert.equal((await findWaiting(lab.ca.database.queries, late.id))?.status, 'expired');
    assert.deepEqual(await orders(), []);
  });

  test('what policy refuses anyway is refused at once, and what changed while it waited counts when it is ordered', async () => {
    await using scene = await open(await newUrl());
    const { lab, approve, grace, orders } = scene;
    const authority = await lab.declare({ ...nowhere, judgedBy: [publicWeb] });
    const reasons = /constraints: name www\.other\.test is not among the allowed names of pebble; approval: 0 of 1/;
    await assert.rejects(lab.ask(authority, ['www.other.test']), reasons);
    await assert.rejects(lab.ask(authority, ['www.acme.test'], { role: 'admin' }), /asker: admin may not ask for profile public-web/);
    await assert.rejects(lab.ask(authority, ['www.acme.test'], { profile: 'server' }), /issuer: pebble is not asked under profile server/);
    await assert.rejects(lab.ask(authority, ['www.acme.test'], { profile: 'none' as ProfileName }), /there is no profile none/);
    const narrowed = await waits(lab.ask(authority, ['www.acme.test']));
    await lab.declareProfile('public-web', web({ names: { dns: ['api.acme.test'] } }));
    const first = await approve(grace, narrowed);
    assert.deepEqual([first.status, first.orderId], ['refused', null]);
    assert.match(first.reason ?? '', /permitted: www\.acme\.test/);
    await lab.declareProfile('public-web', web());
    const other = await waits(lab.ask(authority, ['api.acme.test']));
    await lab.declare({ ...nowhere, judgedBy: [publicWeb], allowedNames: ['www.acme.test'] });
    assert.match((await approve(grace, other)).reason ?? '', /constraints: name api\.acme\.test/);
    const third = await waits(lab.ask(await lab.declare({ ...nowhere, judgedBy: [publicWeb] }), ['api.acme.test']));
    await lab.declare({ ...nowhere, judgedBy: ['server'] });
    assert.match((await approve(grace, third)).reason ?? '', /issuer: pebble is not asked under profile public-web/);
    assert.deepEqual(await orders(), []);
    assert.equal(lab.ca.entriesOf('issuance-request.refused').length, 3);
  });

  test('of many last approvals one orders, and what a process left approved is taken up', async () => {
    await using scene = await open(await newUrl());
    const { lab, deps, approve, tokenOf, orders } = scene;
    const authority = await lab.declare({ ...nowhere, judgedBy: [publicWeb] });
    const request = await waits(lab.ask(authority, ['www.acme.test']));
    const persons = await Promise.all(['a', 'b', 'c', 'd'].map((name) => tokenOf(name)));
    // Whoever comes too late is told that it has ended.
    await Promise.allSettled(persons.map((by) => approve(by, request)));
    assert.equal((await findWaiting(lab.ca.database.queries, request.id))?.status, 'ordered');
    assert.equal((await orders()).length, 1);
    const left = await waits(lab.ask(authority, ['api.acme.test']));
    // The process that took the approval ended before it could order.
    await assert.rejects(
      approveRequest({ ...deps, startOrder: endProcess }, { id: left.id, ...scene.grace }, lab.clock.now()),
      /process ended/,
    );
    assert.equal((await orders()).length, 1);
    await reconcileRequests(deps, lab.clock.now());
    await reconcileRequests(deps, lab.clock.now());
    assert.deepEqual((await orders()).length, 2);
    assert.equal((await findWaiting(lab.ca.database.queries, left.id))?.status, 'ordered');
  });
});
