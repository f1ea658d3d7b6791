import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestAuthorities } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import {
  endChallenge,
  fileChallenge,
  findChallengeById,
  findChallengeBySecret,
  findUsed,
  insertChallenge,
  listOpenChallenges,
  pruneChallenges,
  settleChallenge,
  useChallenge,
} from './challenge-store.ts';
import { holdMakers } from './hold-makers.ts';

const NOW = Date.UTC(2026, 10, 24);
const HOUR = 3_600_000;

forEachDatabase('challenges of SCEP', (newUrl) => {
  const open = async () => {
    const ca = await openTestAuthorities(await newUrl(), NOW);
    const { database } = ca;
    let count = 0;
    const make = async (change: { readonly maker?: string; readonly makerRole?: 'ci' | 'operator'; readonly expiresAt?: number } = {}) => {
      const id = newEntityId('token', NOW);
      const made = {
        id,
        environment: 'production',
        region: 'local',
        profile: 'server',
        spiffeId: null,
        names: { dns: ['a.example'], ip: ['10.0.0.1'] },
        secretSha256: Buffer.alloc(32, ++count),
        maker: 'ada',
        makerRole: 'operator',
        tokenId: newEntityId('token', NOW),
        createdAt: NOW,
        expiresAt: NOW + HOUR,
        ...change,
      } as const;
      await database.commit(({ queries }) => insertChallenge(queries, made));
      return made;
    };
    return { ca, database, queries: database.queries, make };
  };

  test('is found by its hash, used once, in its time, and then by key and transaction', async () => {
    const { ca, database, queries, make } = await open();
    await using _ = ca;
    const made = await make();
    const { secretSha256, ...kept } = made;
    const nothing = { revokedAt: null, usedAt: null, spkiSha256: null, transactionId: null, requestId: null, certificate: null };
    assert.deepEqual(await findChallengeBySecret(queries, secretSha256), { ...kept, ...nothing });
    assert.equal(await findChallengeBySecret(queries, Buffer.alloc(32, 99)), null);
    const use = { id: made.id, spkiSha256: 'aa', transactionId: 't' };
    const tryUse = (at: number) => database.commit((unit) => useChallenge(unit.queries, use, at));
    assert.equal(await tryUse(NOW + HOUR), false, 'expired');
    const both = await Promise.all([tryUse(NOW), tryUse(NOW)]);
    assert.deepEqual(both.toSorted(), [false, true], 'one of two');
    assert.equal((await findUsed(queries, use))?.id, made.id);
    assert.equal(await findUsed(queries, { ...use, spkiSha256: 'bb' }), null);
    assert.equal(await findUsed(queries, { ...use, transactionId: 'u' }), null);
    assert.equal(await database.commit((unit) => endChallenge(unit.queries, made.id, NOW)), false, 'used');
    const requestId: EntityId<'request'> = newEntityId('request', NOW);
    await database.commit((unit) => fileChallenge(unit.queries, made.id, requestId));
    await database.commit((unit) => settleChallenge(unit.queries, made.id, { issuerKeySha256: 'cc', serial: Buffer.of(1, 2) }));
    const used = await findChallengeById(queries, made.id);
    assert.deepEqual([used?.requestId, used?.usedAt, used?.certificate?.issuerKeySha256], [requestId, NOW, 'cc']);
    assert.deepEqual(Buffer.from(used!.certificate!.serial), Buffer.of(1, 2));
  });

  test('is listed while it is open, ended once, and forgotten some time after its end', async () => {
    const { ca, database, queries, make } = await open();
    await using _ = ca;
    const [one, two] = [await make(), await make({ expiresAt: NOW + 2 * HOUR })];
    assert.deepEqual((await listOpenChallenges(queries, NOW)).map(({ id }) => id).toSorted(), [one.id, two.id].toSorted());
    assert.deepEqual(
      (await listOpenChallenges(queries, NOW + HOUR)).map(({ id }) => id),
      [two.id],
    );
    assert.equal(await database.commit((unit) => endChallenge(unit.queries, two.id, NOW)), true);
    assert.equal(await database.commit((unit) => endChallenge(unit.queries, two.id, NOW)), false);
    assert.equal(
      await database.commit((unit) => useChallenge(unit.queries, { id: two.id, spkiSha256: 'aa', transactionId: 't' }, NOW)),
      false,
    );
    await database.commit((unit) => pruneChallenges(unit.queries, NOW + HOUR + 1));
    assert.equal(await findChallengeById(queries, one.id), null);
    assert.notEqual(await findChallengeById(queries, two.id), null);
  });

  test('forgets the person who made it, and no pipeline of that name', async () => {
    const { ca, database, queries, make } = await open();
    await using _ = ca;
    const [person, pipeline] = [await make(), await make({ makerRole: 'ci' })];
    const done = await database.commit((unit) => holdMakers(unit.queries, { name: 'ada', instead: 'person-1' }, NOW));
    assert.deepEqual(done, { erased: 1, inUse: [] });
    assert.equal((await findChallengeById(queries, person.id))?.maker, 'person-1');
    assert.equal((await findChallengeById(queries, pipeline.id))?.maker, 'ada');
  });
});
