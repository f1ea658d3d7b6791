import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ada, joinRequest, openTestAuthorities, orders } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { isListSignedBy, parseCertificateList } from '../../core/x509/certificate-list.ts';
import { oids } from '../../core/x509/oid.ts';
import { MINUTE_MS, SECOND_MS } from '../../core/time/instant.ts';
import { advanceSequence } from './authority-store.ts';
import { FleetLists } from './fleet-lists.ts';
import { listFleetLists, replaceFleetList } from './fleet-list-store.ts';
import { issueCertificate } from './issue-certificate.ts';
import { reconcileAuthorities } from './reconcile.ts';
import { revokeCertificate } from './revoke-certificate.ts';
import { suspendIdentity } from './suspend-identity.ts';

const now = 1_800_000_000_000;
const hexOf = (lists: ReadonlyMap<string, Uint8Array>) =>
  [...lists].map(([key, der]) => `${key} ${Buffer.from(der).toString('hex')}`).toSorted();

forEachDatabase('lists for data planes', (newUrl) => {
  test('there is one of each authority before anything is revoked, without a distribution point, good until its end', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now, { crlShards: 16 });
    const lists = await new FleetLists(ca).read(now);
    assert.deepEqual([...lists.keys()].toSorted(), ca.authorities.issuing.map(({ keySha256 }) => keySha256).toSorted());
    for (const { keySha256, certificate } of ca.authorities.issuing) {
      const list = parseCertificateList(lists.get(keySha256)!);
      assert.ok(isListSignedBy(list, certificate));
      assert.deepEqual([list.revoked.length, list.nextUpdate], [0, certificate.notAfter]);
      assert.ok(list.thisUpdate <= now - SECOND_MS, 'a slow clock takes it');
      assert.ok(!list.extensions.some(({ oid }) => oid === oids.issuingDistributionPoint), 'it is of all certificates');
    }
    assert.equal(ca.entriesOf('crl.fleet-list').length, 2);
  });

  test('what is revoked is on the next reading, whatever its shard, under a higher number and with an entry in the log', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now, { crlShards: 16 });
    const lists = new FleetLists(ca);
    const numberOf = async (at: number) => {
      const read = await lists.read(at);
      const list = parseCertificateList(read.get(ca.authorities.issuing[0]!.keySha256)!);
      return { number: BigInt(`0x${list.crlNumber}`), serials: list.revoked.map(({ serialHex }) => serialHex) };
    };
    const before = await numberOf(now);
    const issued = await Promise.all([1, 2, 3].map(() => issueCertificate(ca, joinRequest(), now)));
    for (const one of issued) await revokeCertificate(ca, { ...one, reason: 'keyCompromise' }, ada, now);
    const after = await numberOf(now);
    assert.deepEqual(after.serials.toSorted(), issued.map(({ serialHex }) => serialHex).toSorted());
    assert.ok(after.number > before.number);
    assert.equal(ca.entriesOf('crl.fleet-list').length, 3, 'the list of the other authority stays as it is');
    await reconcileAuthorities(ca, now + 400 * 24 * 60 * MINUTE_MS);
    const pruned = await numberOf(now + 1);
    assert.deepEqual(pruned.serials, [], 'what ended is on it no more');
    assert.ok(pruned.number > after.number);
  });

  test('neither a restart nor a suspension makes other octets', async () => {
    const url = await newUrl();
    await using ca = await openTestAuthorities(url, now);
    await revokeCertificate(ca, { ...(await issueCertificate(ca, joinRequest(), now)), reason: 'superseded' }, ada, now);
    const before = hexOf(await new FleetLists(ca).read(now));
    await suspendIdentity(ca, { spiffeId: orders, region: 'local', reason: 'stolen' }, ada, now);
    await using again = await openTestAuthorities(url, now, { reopen: ca.kek });
    assert.deepEqual(hexOf(await new FleetLists(again).read(now + MINUTE_MS)), before);
  });

  test('what expired stays for a while, until it is an eighth of the list', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const lists = new FleetLists(ca);
    const issued = await Promise.all(Array.from({ length: 10 }, () => issueCertificate(ca, joinRequest(), now)));
    for (const one of issued) await revokeCertificate(ca, { ...one, reason: 'superseded' }, ada, now);
    const before = hexOf(await lists.read(now));
    const drop = ({ serialHex }: { readonly serialHex: string }) =>
      ca.database.commit(async (unit) => {
        const table = unit.queries.withTables<{ certificates: { serial: Uint8Array; in_revoked_set: number } }>();
        await table.updateTable('certificates').set({ in_revoked_set: 0 }).where('serial', '=', Buffer.from(serialHex, 'hex')).execute();
        await advanceSequence(unit.queries, 'revoked-set');
      });
    await drop(issued[0]!);
    assert.deepEqual(hexOf(await lists.read(now + 1)), before);
    assert.deepEqual(hexOf(await new FleetLists(ca).read(now + 1)), before, 'a restart sees it as good as well');
    await drop(issued[1]!);
    const after = await lists.read(now + 2);
    const { revoked } = parseCertificateList(after.get(ca.authorities.issuing[0]!.keySha256)!);
    assert.deepEqual(
      revoked.map(({ serialHex }) => serialHex),
      issued
        .slice(2)
        .map(({ serialHex }) => serialHex)
        .toSorted(),
    );
    assert.deepEqual(new Set(revoked.map(({ reason }) => reason)), new Set(['unspecified']));
  });

  test('a server adds to what another one made, and misses nothing of either', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const [one, other] = [new FleetLists(ca), new FleetLists(ca)];
    await one.read(now);
    await other.read(now);
    const issued = await Promise.all([1, 2, 3].map(() => issueCertificate(ca, joinRequest(), now)));
    const serialsOf = (read: ReadonlyMap<string, Uint8Array>) =>
      parseCertificateList(read.get(ca.authorities.issuing[0]!.keySha256)!)
        .revoked.map(({ serialHex }) => serialHex)
        .toSorted();
    for (const [index, server] of [one, other, one].entries()) {
      await revokeCertificate(ca, { ...issued[index]!, reason: 'superseded' }, ada, now);
      const expected = issued.slice(0, index + 1).map(({ serialHex }) => serialHex);
      assert.deepEqual(serialsOf(await server.read(now + index)), expected.toSorted());
    }
    const made = ca.entriesOf('crl.fleet-list').length;
    assert.deepEqual(hexOf(await other.read(now + 9)), hexOf(await one.read(now + 9)));
    assert.equal(ca.entriesOf('crl.fleet-list').length, made);
  });

  test('lists of before a suspension are the same object after it', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const lists = new FleetLists(ca);
    const before = await lists.read(now);
    await suspendIdentity(ca, { spiffeId: orders, region: 'local', reason: 'stolen' }, ada, now);
    assert.equal(await lists.read(now + 1), before);
  });

  test('of two servers that make one at the same time, the number of one does not count', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    await new FleetLists(ca).read(now);
    const [held] = await listFleetLists(ca.database.queries);
    const next = { ...held!, number: held!.number + 1, digest: 'other' };
    const replace = (before: number | null) => ca.database.commit((unit) => replaceFleetList(unit.queries, before, next));
    assert.deepEqual([await replace(null), await replace(held!.number), await replace(held!.number)], [false, true, false]);
  });

  test('many readers of one change make one list of it, and a server that comes second takes what the first made', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const [one, other] = [new FleetLists(ca), new FleetLists(ca)];
    await one.read(now);
    await revokeCertificate(ca, { ...(await issueCertificate(ca, joinRequest(), now)), reason: 'superseded' }, ada, now);
    const read = await Promise.all([one.read(now), one.read(now), other.read(now), other.read(now)]);
    for (const lists of read) assert.deepEqual(hexOf(lists), hexOf(read[0]));
    assert.equal(ca.entriesOf('crl.fleet-list').length, 3);
  });
});
