import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { forEachDatabase } from '../../test/support/databases.ts';
import { place } from '../../test/support/inventory.ts';
import { logClock, logVerifier, openLog, servedFiles } from '../../test/support/test-log.ts';
import { createToken } from '../control/access/create-token.ts';
import { revokeToken } from '../control/access/revoke-token.ts';
import { listAccessTokens } from '../control/access/store.ts';
import type { Actor, AuditedDatabase } from '../control/audit/entry.ts';
import { erasePerson } from '../control/audit/erase-person.ts';
import { searchEntries } from '../control/audit/search-entries.ts';
import { insertReservation, type Reservation } from '../control/ca/certificate-store.ts';
import { listCertificates } from '../control/ca/search-certificates.ts';
import type { WaitingRequest } from '../control/ca/waiting-request.ts';
import { findWaiting, putApproval, insertWaiting, settleWaiting } from '../control/ca/waiting-store.ts';
import type { ExternalAuthorityRecord } from '../control/external/external-authority.ts';
import type { ExternalOrder } from '../control/external/external-order.ts';
import { findExternalOrder, insertExternalOrder } from '../control/external/order-store.ts';
import { findExternalAuthorityById, upsertExternalAuthority } from '../control/external/store.ts';
import type { DoorGrant } from '../control/grants/door-grant.ts';
import { findGrant, insertGrant } from '../control/grants/store.ts';
import { applyDeclaration } from '../control/inventory/apply-declaration.ts';
import { parseDeclaration } from '../control/inventory/parse-declaration.ts';
import { listServices } from '../control/inventory/store.ts';
import { insertRollout, insertStep, listRollouts, putPathStates, readPathStates, readSteps } from '../control/rollouts/store.ts';
import { parseSpiffeId } from '../core/identity/spiffe-id.ts';
import type { EntityId } from '../core/ids/entity-id.ts';
import { verifyLog } from '../core/merkle/verify-log.ts';
import type { PathState, Weakening } from '../core/rollout/path-state.ts';
import { makeSignal } from '../platform/clock/signal.ts';
import { newEntityId } from '../platform/ids/new-entity-id.ts';
import { findAccount, insertAccount } from '../protocols/acme/account-store.ts';
import type { Account } from '../protocols/acme/account.ts';
import { personHolders } from './person-holders.ts';

/** With a quote and a backslash: the JSON of a row writes it in another way than the row of a token. */
const NAME = 'Grace "O\\Hara" Hopper';
/** What somebody writes into a reason is text, and stays. */
const REASON = 'as "by":"Grace" asked';
const { environment, region } = place;
const grace: Actor = { kind: 'person', name: NAME };
const bo: Actor = { kind: 'person', name: 'Bo' };

const forget = (database: AuditedDatabase, name = NAME, actor = bo) =>
  erasePerson({ database, holders: personHolders }, { name, environment, region }, actor, logClock.now());

const service = (owner: string): string => `apiVersion: countersign/v1\nkind: Service\nname: web\nowner: ${JSON.stringify(owner)}\n`;

const profile = (identities: string): string =>
  `apiVersion: countersign/v1\nkind: Profile\nname: pay\nbase: server\naskers: { rest: { roles: [operator], identities: [${identities}] } }`;

const declare = (database: AuditedDatabase, text: string, actor = bo) =>
  applyDeclaration({ database, place, changed: makeSignal() }, parseDeclaration(text), actor, logClock.now());

/** A path that Grace weakened, with the step that did it, as `weakenPath` leaves them. */
async function weaken(database: AuditedDatabase): Promise<EntityId<'rollout'>> {
  const now = logClock.now();
  const rollout = {
    rolloutId: newEntityId('rollout', now),
    environment,
    region,
    name: 'all',
    status: 'running',
    lastStepId: null,
  } as const;
  const weakening: Weakening = { to: 'permissive', by: NAME, reason: REASON, until: now + 1_000 };
  const pathId = newEntityId('path', now);
  const caller = parseSpiffeId('spiffe://acme.example/test/web');
  const state: PathState = {
    pathId,
    endpointId: newEntityId('endpoint', now),
    caller,
    wave: 0,
    stage: 'permissive',
    since: now,
    settledAt: null,
    latchedAt: now,
    weakening,
    setback: null,
  };
  const moves = [{ kind: 'weaken', pathId, from: 'proven', to: 'permissive', weakening, reasons: [] }] as const;
  const step = {
    stepId: newEntityId('step', now),
    rolloutId: rollout.rolloutId,
    at: now,
    kind: 'weaken',
    wave: 0,
    moves,
    reasons: [],
  } as const;
  await database.commit(async ({ queries }) => {
    await insertRollout(queries, { ...rollout, revision: 1 }, now);
    await putPathStates(queries, { ...rollout, revision: 1 }, [state]);
    await insertStep(queries, { ...rollout, revision: 1 }, { ...step, parent: null });
  });
  return rollout.rolloutId;
}

const account = (contacts: readonly string[], thumbprint: string): Account => ({
  id: newEntityId('account', logClock.now()),
  environment,
  region,
  jwk: {},
  thumbprint,
  contacts,
  status: 'deactivated',
  terms: null,
  binding: null,
  createdAt: logClock.now(),
});

/** A CA of others that was told these contacts. */
const authority = (contacts: readonly string[]): ExternalAuthorityRecord => ({
  id: newEntityId('authority', logClock.now()),
  environment,
  region,
  name: `ca-${contacts.length}-${contacts[0]}`,
  accountUrl: 'https://ca.example/account/1',
  updatedAt: logClock.now(),
  settings: {
    directoryUrl: 'https://ca.example/directory',
    anchorsPem: null,
    rootsPem: null,
    contacts,
    bindingKeyId: null,
    challenge: { kind: 'http-01' },
    allowedNames: ['acme.example'],
    judgedBy: ['server'],
    profile: null,
    preferredChain: null,
  },
});

const orderBy = (askedBy: Actor, authorityId: EntityId<'authority'>): ExternalOrder => ({
  id: newEntityId('order', logClock.now()),
  authorityId,
  environment,
  region,
  csr: Uint8Array.of(1),
  names: ['acme.example'],
  askedBy,
  askerRole: 'ci',
  firstAskedBy: askedBy,
  profile: 'server',
  approvals: null,
  grantedMs: null,
  longestMs: null,
  purposes: [],
  status: 'issued',
  url: null,
  renews: null,
  replaces: null,
  endpointId: null,
  attempts: 0,
  dueAt: 0,
  detail: null,
  certificate: null,
  createdAt: 0,
});

forEachDatabase('a person who is to be forgotten', (newUrl, kind) => {
  test('is forgotten as who asked another CA, and a pipeline of that name is not', async () => {
    await using database = await openLog(await newUrl());
    const ca = authority([]);
    const [theirs, others, pipeline] = [grace, bo, { kind: 'machine', name: NAME } as Actor].map((who) => orderBy(who, ca.id));
    const renewal = { ...orderBy({ kind: 'system', name: 'external' }, ca.id), firstAskedBy: grace };
    await database.commit(async ({ queries }) => {
      await upsertExternalAuthority(queries, ca);
      for (const order of [theirs!, others!, pipeline!, renewal]) await insertExternalOrder(queries, order);
    });
    assert.deepEqual(await forget(database), { rows: 2 });
    const found = await Promise.all([theirs!, others!, pipeline!, renewal].map(({ id }) => findExternalOrder(database.queries, id)));
    // The log never knew the name, so there is no hash to put in its place.
    assert.deepEqual(found[0]!.askedBy, { kind: 'person', name: 'erased' });
    assert.deepEqual([found[3]!.firstAskedBy.name, found[3]!.askedBy.name], ['erased', 'external'], 'and of what was renewed for her');
    assert.deepEqual([found[1]!.askedBy, found[2]!.askedBy.name], [bo, NAME]);
    await assert.rejects(forget(database), { code: 'not-found' });
  });

  test('is forgotten as who asked for certificates, and as who asked and approved of what waited', async () => {
    await using database = await openLog(await newUrl());
    const now = logClock.now();
    const waiting = (asker: Actor, settledAt: number | null): WaitingRequest => ({
      id: newEntityId('request', now),
      environment,
      region,
      profile: 'server',
      status: settledAt === null ? 'waiting' : 'denied',
      content: {
        door: 'rest',
        profile: 'server',
        asker: { role: asker.kind === 'person' ? 'operator' : 'ci', scope: '*', spiffeId: null, name: asker.name },
        actor: asker,
        spiffeId: null,
        names: { dns: ['acme.example'], ip: [] },
        environment,
        region,
        csr: '',
      },
      digest: '',
      asker: asker.name,
      tokenId: null,
      requestedAt: now,
      expiresAt: now + 1_000,
      signingAt: null,
      settledAt: null,
      certificate: null,
      orderId: null,
      reason: null,
      approvers: [],
    });
    const reservation = (serial: number, asker: string, askerRole: 'operator' | 'ci'): Reservation => ({
      issuerId: 'authority_1',
      issuerKeySha256: '',
      serial: Uint8Array.of(serial),
      profile: 'server',
      door: 'rest',
      spiffeId: null,
      names: { dns: [], ip: [] },
      proxyId: null,
      environment,
      region,
      spkiSha256: '',
      notBefore: now,
      notAfter: now,
      reservedAt: now,
      crlShard: 0,
      asker,
      askerRole,
    });
    const [asked, approved, pipelines] = [waiting(grace, now), waiting(bo, now), waiting({ kind: 'machine', name: NAME }, null)] as const;
    // Of devices: by a challenge that she made, and by one that a pipeline of her name made.
    const [device, theirs] = (['operator', 'ci'] as const).map((role): WaitingRequest => {
      const filed = waiting({ kind: 'machine', name: `scep:${role}` }, now);
      return { ...filed, content: { ...filed.content, asker: { ...filed.content.asker, role, name: NAME } } };
    }) as [WaitingRequest, WaitingRequest];
    const judge = NAME.toLowerCase();
    await database.commit(async ({ queries }) => {
      await insertReservation(queries, reservation(1, NAME, 'operator'));
      await insertReservation(queries, reservation(2, NAME, 'ci'));
      for (const request of [asked, approved, pipelines, device, theirs]) await insertWaiting(queries, request);
      for (const { id } of [approved])
        for (const approver of [judge, 'bo', 'erased']) await putApproval(queries, { id, approver, tokenId: null }, now);
    });
    for (const { id } of [asked, approved, device]) {
      await assert.rejects(forget(database), { code: 'state-conflict', message: new RegExp(`request ${id}, which waits`) });
      await database.commit(({ queries }) => settleWaiting(queries, { id }, { status: 'denied' }, now));
    }
    assert.deepEqual(await forget(database), { rows: 4 });
    const { queries } = database;
    const kept = await listCertificates(queries, { environments: '*', limit: 10 });
    assert.deepEqual(
      kept.map(({ serial, asker }) => [serial[0], asker]),
      [
        [2, NAME],
        [1, 'erased'],
      ],
    );
    const found = await Promise.all([asked, approved, pipelines, device, theirs].map(({ id }) => findWaiting(queries, id)));
    assert.deepEqual(
      found.map((request) => [request!.asker, request!.content.actor.name, request!.content.asker.name]),
      [
        ['erased', 'erased', 'erased'],
        ['Bo', 'Bo', 'Bo'],
        [NAME, NAME, NAME],
        ['scep:operator', 'scep:operator', 'erased'],
        ['scep:ci', 'scep:ci', NAME],
      ],
    );
    assert.deepEqual(found[1]!.approvers.map(({ name }) => name).toSorted(), ['bo', 'erased']);
  });

  test('is forgotten as whom grants are for, has nothing by them any more, and the log says so', async () => {
    await using database = await openLog(await newUrl());
    const now = logClock.now();
    const grantFor = (name: string): DoorGrant => ({
      id: newEntityId('token', now),
      door: 'acme',
      environment,
      region,
      name,
      role: 'ci',
      bounds: null,
      uses: 1,
      used: 0,
      maker: null,
      createdAt: now,
      expiresAt: now + 1_000,
      revokedAt: null,
      lastUse: null,
    });
    const [hers, spent, others] = [grantFor(NAME), { ...grantFor(NAME), used: 1 }, grantFor('Bo')];
    await database.commit(async ({ queries }) => {
      for (const grant of [hers, spent, others]) await insertGrant(queries, grant, null);
    });
    assert.deepEqual(await forget(database), { rows: 2 });
    const kept = await Promise.all([hers, spent, others].map(({ id }) => findGrant(database.queries, 'acme', id)));
    assert.deepEqual(
      kept.map((grant) => [grant?.name, grant?.revokedAt]),
      [
        ['erased', now],
        ['erased', null],
        ['Bo', null],
      ],
    );
    const { entries } = await searchEntries(database.queries, { environments: null, type: 'acme-binding.revoked' });
    assert.deepEqual(
      entries.map(({ leaf }) => JSON.parse(leaf).data),
      [{ tokenId: hers.id }],
    );
  });

  test('is forgotten as a contact that another CA was told, and account and other contacts stay', async () => {
    await using database = await openLog(await newUrl());
    const both = authority(['Grace@Acme.example', 'ops@acme.example']);
    const other = authority(['xgrace@acme.example', 'grace@acme.example.org', 'g.race@acme.example']);
    await database.commit(async ({ queries }) => {
      for (const made of [both, other]) await upsertExternalAuthority(queries, made);
    });
    assert.deepEqual(await forget(database, 'grace@acme.example'), { rows: 1 });
    const { queries } = database;
    const kept = { ...both, settings: { ...both.settings, contacts: ['ops@acme.example'] } };
    assert.deepEqual(await findExternalAuthorityById(queries, both.id), kept);
    assert.deepEqual(await findExternalAuthorityById(queries, other.id), other);
  });

  test('is named by no row of any slice afterwards, and what the log says of them verifies', async () => {
    const url = await newUrl();
    {
      await using database = await openLog(url);
      const request = { name: NAME, role: 'operator', scope: '*', environment, region, ttlMs: null } as const;
      const { tokenId } = await createToken({ database }, request, grace, logClock.now());
      await revokeToken({ database }, tokenId, bo, logClock.now());
      await createToken({ database }, { ...request, name: 'Bo' }, bo, logClock.now());
      await declare(database, service(NAME), grace);
      await declare(database, service('shop'));
      const rolloutId = await weaken(database);
      const [before] = await listRollouts(database.queries);
      const { rows } = await forget(database);
      assert.equal(rows, 4);
      const [hash] = (await searchEntries(database.queries, { environments: null, type: 'person.erased' })).entries.map(
        ({ leaf }) => JSON.parse(leaf).data.hash as string,
      );
      assert.match(hash!, /^[0-9a-f]{64}$/);
      const tokens = await listAccessTokens(database.queries, { endedAfter: 0 });
      assert.deepEqual(tokens.map(({ name }) => name).toSorted(), [hash, 'Bo'].toSorted());
      const [path] = await readPathStates(database.queries, environment);
      const [step] = await readSteps(database.queries, rolloutId, 10);
      const [move] = step!.moves;
      const told = [path!.state.weakening, move!.kind === 'weaken' ? move!.weakening : null];
      for (const weakening of told) assert.deepEqual([weakening?.by, weakening?.reason], [hash, REASON]);
      assert.ok((await listRollouts(database.queries))[0]!.revision > before!.revision, 'a planner that read the name plans again');
      const { entries } = await searchEntries(database.queries, { environments: null });
      assert.ok(entries.every(({ leaf, actor, persons }) => !`${leaf}${actor}${JSON.stringify(persons)}`.includes('Hopper')));
      assert.equal(entries.filter(({ leaf }) => leaf.includes(`"person":"${hash}"`)).length, 2, 'declared, and declared to be another’s');
      assert.equal((await verifyLog(servedFiles(database), logVerifier)).size, entries.length);
      await assert.rejects(forget(database), { code: 'not-found' });
    }
    // Nor does SQLite's file keep what was deleted from it.
    if (kind === 'sqlite') assert.equal(readFileSync(url.slice('sqlite:'.length)).includes('Hopper'), false);
  });

  test('stays as long as something in use names them, and then nothing of it is done', async () => {
    await using database = await openLog(await newUrl());
    await declare(database, service(NAME));
    const { tokenId } = await createToken(
      { database },
      { name: NAME, role: 'viewer', scope: '*', environment, region, ttlMs: null },
      grace,
      logClock.now(),
    );
    await weaken(database);
    const both = new RegExp(`live token ${tokenId}, service ${environment}/web`);
    await assert.rejects(
      forget(database),
      (error: Error & { code?: string }) => error.code === 'state-conflict' && both.test(error.message),
    );
    await revokeToken({ database }, tokenId, bo, logClock.now());
    await assert.rejects(forget(database), { code: 'state-conflict', message: /service test\/web would lose its name/ });
    assert.equal((await listServices(database.queries, '*'))[0]!.owner, NAME);
    assert.equal((await readPathStates(database.queries, environment))[0]!.state.weakening!.by, NAME);
    assert.equal((await searchEntries(database.queries, { environments: null, person: NAME })).entries.length, 1);
    await declare(database, service('shop'));
    await forget(database);
  });

  test('enters the log by hash where a profile names them, and stays until it does not', async () => {
    await using database = await openLog(await newUrl());
    await declare(database, profile(JSON.stringify(NAME)));
    await assert.rejects(forget(database), { code: 'state-conflict', message: /profile test\/pay would lose its name/ });
    await declare(database, profile('Bo'));
    assert.deepEqual(await forget(database), { rows: 1 });
    const { entries } = await searchEntries(database.queries, { environments: null });
    assert.deepEqual(entries.map(({ type }) => type).toSorted(), ['person.erased', 'profile.changed', 'profile.declared']);
    assert.ok(entries.every(({ leaf }) => !leaf.includes('Hopper')));
    assert.equal((await verifyLog(servedFiles(database), logVerifier)).size, 3);
  });

  test('cannot do it alone, and nobody is forgotten who is not there', async () => {
    await using database = await openLog(await newUrl());
    await declare(database, service('shop'), grace);
    await assert.rejects(forget(database, NAME, grace), { code: 'state-conflict' });
    for (const name of ['Grace', NAME.toUpperCase(), '%', '']) await assert.rejects(forget(database, name), { code: 'not-found' });
    assert.equal((await searchEntries(database.queries, { environments: null })).entries.length, 1);
  });

  test('is forgotten as a contact by the mail address, and the other contacts stay', async () => {
    await using database = await openLog(await newUrl());
    const both = account(['mailto:Grace@Acme.example', 'mailto:ops@acme.example'], 'a');
    const other = account(['mailto:xgrace@acme.example', 'mailto:grace@acme.example.org'], 'b');
    await database.commit(async ({ queries }) => {
      for (const made of [both, other]) await insertAccount(queries, made);
    });
    assert.deepEqual(await forget(database, 'grace@acme.example'), { rows: 1 });
    const { queries } = database;
    assert.deepEqual((await findAccount(queries, both.id))!.contacts, ['mailto:ops@acme.example']);
    assert.deepEqual((await findAccount(queries, other.id))!.contacts, other.contacts);
  });
});
