import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ada, openTestAuthorities, place } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { makerOf } from '../../../test/support/maker.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { DAY_MS, HOUR_MS } from '../../core/time/instant.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import { revokeToken } from '../access/revoke-token.ts';
import { resumeIdentity, suspendIdentity } from '../ca/suspend-identity.ts';
import { claimGrant, findGrantFault } from './claim-grant.ts';
import { type GrantDoor, grantDoors } from './door-grant.ts';
import { holdGrantNames } from './hold-grant-names.ts';
import { type GrantRequest, makeGrant } from './make-grant.ts';
import { revokeGrant } from './revoke-grant.ts';
import { fileGrant, findGrant, findGrantBySecret, findUsedGrant, insertGrant, listOpenGrants, settleGrant } from './store.ts';
import { sweepGrants } from './sweep-grants.ts';

const NOW = Date.UTC(2026, 10, 24);
const doors = Object.keys(grantDoors) as readonly GrantDoor[];
const camera = parseSpiffeId('spiffe://acme.example/production/camera');

forEachDatabase('one-time grants', (newUrl) => {
  const open = async () => {
    const ca = await openTestAuthorities(await newUrl(), NOW);
    const { database } = ca;
    const maker = await makerOf(ca, NOW);
    const bounds = { profile: 'workload', spiffeId: camera, dnsNames: [], ipAddresses: [] } as const;
    const wanted = (door: GrantDoor, change: Partial<GrantRequest> = {}): GrantRequest => {
      const own = door === 'acme' ? { bounds: null } : { bounds };
      return { door, ...place, name: 'cameras', role: door === 'scep' ? 'own' : 'ci', ...own, uses: 1, ttlMs: HOUR_MS, ...change };
    };
    const make = (door: GrantDoor, change: Partial<GrantRequest> = {}, by: Parameters<typeof makeGrant>[2] = maker) =>
      makeGrant(ca, wanted(door, change), by, NOW);
    const claim = (grant: Parameters<typeof revokeGrant>[1], now = NOW, by = 'one', spkiSha256 = 'aa') =>
      database.commit((unit) => claimGrant(unit, { id: grant.id, door: grant.door, by, spkiSha256 }, now));
    return { ca, database, queries: database.queries, maker, make, claim, [Symbol.asyncDispose]: () => ca[Symbol.asyncDispose]() };
  };

  for (const door of doors) {
    test(`${door}: is read as it was made, is used once, in its time, and not by another door`, async () => {
      await using scene = await open();
      const { queries, make, claim, ca } = scene;
      const made = await make(door);
      assert.deepEqual(await findGrant(queries, door, made.id), made);
      for (const other of doors.filter((one) => one !== door)) {
        assert.equal(await findGrant(queries, other, made.id), null, other);
        assert.equal(await claim({ ...made, door: other }), 'forgotten', other);
      }
      assert.equal(await claim(made, NOW + HOUR_MS), 'expired');
      assert.equal(await claim({ ...made, id: newEntityId('token', NOW) }), 'forgotten');
      const both = await Promise.all([claim(made), claim(made)]);
      assert.deepEqual(both.toSorted(), ['used', null].toSorted(), 'one of two');
      const used = await findGrant(queries, door, made.id);
      assert.deepEqual([used?.used, used?.lastUse?.at, used?.lastUse?.by], [1, NOW, 'one']);
      const entry = ca.entriesOf(`${grantDoors[door].entry}.created`).at(-1);
      assert.deepEqual([entry?.data['tokenId'], entry?.data['expiresAt'], entry?.actor], [made.id, NOW + HOUR_MS, ada]);
    });

    test(`${door}: buys nothing once it is revoked, its maker's token is, or while its identity is suspended`, async () => {
      await using scene = await open();
      const { ca, make, claim, queries } = scene;
      const gone = await make(door);
      await revokeGrant(ca, gone, ada, NOW);
      assert.equal(await claim(gone), 'revoked');
      await assert.rejects(revokeGrant(ca, gone, ada, NOW), { code: 'state-conflict' });
      assert.equal(ca.entriesOf(`${grantDoors[door].entry}.revoked`).length, 1);
      const thief = await makerOf(ca, NOW, { name: 'thief', role: 'operator' });
      const stolen = await make(door, {}, thief);
      assert.equal(await findGrantFault(queries, stolen, NOW), null);
      await revokeToken(ca, thief.principal.tokenId, ada, NOW);
      assert.equal(await claim(stolen), 'its maker has no token any more');
      await assert.rejects(make(door, {}, thief), { code: 'forbidden' }, 'nor is another made by that token');
      const held = await make(door);
      const change = { spiffeId: camera, region: 'local', reason: 'stolen' };
      await suspendIdentity(ca, change, ada, NOW);
      assert.equal(await claim(held), door === 'acme' ? null : `its identity ${camera} is suspended`);
      await resumeIdentity(ca, change, ada, NOW);
      assert.equal(await claim(held), door === 'acme' ? 'used' : null, 'what was refused took no use');
    });

    test(`${door}: nobody makes one for more than he has, for longer than his token, or by the token of another issuer`, async () => {
      await using scene = await open();
      const { ca, make, maker } = scene;
      const operator = await makerOf(ca, NOW, { name: 'bo', role: 'operator' });
      const machine = { ...maker, principal: { ...maker.principal, tokenId: null } };
      const unknown = { ...maker, principal: { ...maker.principal, tokenId: newEntityId('token', NOW) } };
      for (const ttlMs of [0, -1, NaN, 90 * DAY_MS + 1]) await assert.rejects(make(door, { ttlMs }), { code: 'input-invalid' }, `${ttlMs}`);
      for (const by of [machine, unknown]) await assert.rejects(make(door, {}, by), { code: 'forbidden' });
      for (const role of ['admin', 'partner-manager'] as const)
        await assert.rejects(make(door, { role }, operator), { code: 'forbidden' }, role);
      assert.equal(ca.entriesOf(`${grantDoors[door].entry}.created`).length, 0);
      const brief = await makerOf(ca, NOW, { name: 'cy', role: 'operator', ttlMs: 1_000 });
      assert.equal((await make(door, {}, brief)).expiresAt, NOW + 1_000);
    });

    test(`${door}: is listed while it is open and where one may look, and forgotten some time after its end`, async () => {
      await using scene = await open();
      const { ca, queries, make, claim } = scene;
      const [one, two, used] = [await make(door), await make(door, { ttlMs: 2 * HOUR_MS }), await make(door)];
      await claim(used);
      const leaver = await makerOf(ca, NOW, { name: 'leaver', role: 'operator' });
      await make(door, {}, leaver);
      await revokeToken(ca, leaver.principal.tokenId, ada, NOW);
      const ids = async (now: number, environments: '*' | readonly string[] = '*') =>
        (await listOpenGrants(queries, { door, environments }, now)).map(({ id }) => id).toSorted();
      assert.deepEqual(await ids(NOW), [one.id, two.id].toSorted());
      assert.deepEqual(await ids(NOW, ['staging', 'production']), [one.id, two.id].toSorted());
      for (const nowhere of [['staging'], []]) assert.deepEqual(await ids(NOW, nowhere), []);
      assert.deepEqual(await ids(NOW + HOUR_MS), [two.id]);
      await revokeGrant(ca, two, ada, NOW);
      assert.deepEqual(await ids(NOW), [one.id]);
      await sweepGrants(ca, NOW + HOUR_MS + 90 * DAY_MS);
      assert.notEqual(await findGrant(queries, door, one.id), null);
      await sweepGrants(ca, NOW + HOUR_MS + 90 * DAY_MS + 1);
      assert.deepEqual([await findGrant(queries, door, one.id), await findGrant(queries, door, used.id)], [null, null]);
      assert.notEqual(await findGrant(queries, door, two.id), null);
    });
  }

  test('what is used up can be taken back where something goes on under it, and nowhere else', async () => {
    await using scene = await open();
    const { ca, make, claim } = scene;
    for (const door of doors) {
      const made = await make(door);
      assert.equal(await claim(made), null);
      const revoked = revokeGrant(ca, made, ada, NOW);
      await (grantDoors[door].holds ? revoked : assert.rejects(revoked, { code: 'state-conflict' }, door));
    }
  });

  test('several uses are counted, one commit each, and no more of them taken than there are', async () => {
    await using scene = await open();
    const { queries, make, claim } = scene;
    const made = await make('cmp', { uses: 3 });
    const all = await Promise.all(Array.from({ length: 5 }, (_, index) => claim(made, NOW, `transaction ${index}`)));
    assert.deepEqual(all.filter((fault) => fault === null).length, 3);
    assert.equal((await findGrant(queries, 'cmp', made.id))?.used, 3);
  });

  test('is found by the hash of its secret at its own door, then by key and transaction, with what waits and what was issued', async () => {
    await using scene = await open();
    const { database, queries, make, claim } = scene;
    const secretSha256 = Buffer.alloc(32, 7);
    const made = await make('scep', { secretSha256 });
    assert.equal((await findGrantBySecret(queries, 'scep', secretSha256))?.id, made.id);
    assert.equal(await findGrantBySecret(queries, 'cmp', secretSha256), null);
    assert.equal(await findGrantBySecret(queries, 'scep', Buffer.alloc(32, 8)), null);
    await assert.rejects(make('scep', { secretSha256 }), 'one grant a secret');
    await claim(made);
    const use = { spkiSha256: 'aa', by: 'one' };
    assert.equal((await findUsedGrant(queries, 'scep', use))?.id, made.id);
    for (const other of [
      { ...use, spkiSha256: 'bb' },
      { ...use, by: 'two' },
    ])
      assert.equal(await findUsedGrant(queries, 'scep', other), null);
    assert.equal(await findUsedGrant(queries, 'cmp', use), null);
    const requestId = newEntityId('request', NOW);
    await database.commit((unit) => fileGrant(unit.queries, made.id, requestId));
    await database.commit((unit) => settleGrant(unit.queries, made.id, { issuerKeySha256: 'cc', serial: Buffer.of(1, 2) }));
    const { lastUse } = (await findGrant(queries, 'scep', made.id))!;
    assert.deepEqual([lastUse?.requestId, lastUse?.certificate?.issuerKeySha256], [requestId, 'cc']);
    assert.deepEqual(Buffer.from(lastUse!.certificate!.serial), Buffer.of(1, 2));
  });

  test('forgets whom it is for, who has nothing by it any more, and the person who made it, and no pipeline of that name', async () => {
    await using scene = await open();
    const { database, queries, make, claim } = scene;
    const [theirs, both] = [await make('scep', { name: null }), await make('cmp', { name: 'ada' })];
    const pipeline = { ...theirs, id: newEntityId('token', NOW), maker: { ...theirs.maker!, kind: 'machine' } } as const;
    await database.commit((unit) => insertGrant(unit.queries, pipeline, null));
    const done = await database.commit((unit) => holdGrantNames(unit.queries, { name: 'ada', instead: 'person-1' }, NOW));
    const { environment, region } = place;
    const ended = [{ type: 'cmp-secret.revoked', environment, region, data: { tokenId: both.id } }];
    assert.deepEqual(done, { erased: 2, inUse: [], ended });
    assert.equal(await claim(both), 'revoked');
    assert.equal(await claim(theirs), null, 'for a device, and its maker has a token');
    const names = await Promise.all(
      [theirs, both, pipeline].map(async ({ id, door }) => {
        const { name, maker } = (await findGrant(queries, door, id))!;
        return [name, maker?.name];
      }),
    );
    assert.deepEqual(names, [
      [null, 'person-1'],
      ['person-1', 'person-1'],
      [null, 'ada'],
    ]);
  });
});
