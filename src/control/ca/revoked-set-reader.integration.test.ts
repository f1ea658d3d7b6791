import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ada, joinRequest, openTestAuthorities, orders } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { DAY_MS } from '../../core/time/instant.ts';
import { issueCertificate } from './issue-certificate.ts';
import { reconcileAuthorities } from './reconcile.ts';
import { revokeCertificate } from './revoke-certificate.ts';
import { readRevokedSet } from './revoked-set.ts';
import { RevokedSetReader } from './revoked-set-reader.ts';
import { resumeIdentity, suspendIdentity } from './suspend-identity.ts';

const now = 1_800_000_000_000;

forEachDatabase('the revoked set, read again and again', (newUrl) => {
  test('is what is committed after each change, and the same object while there is none', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const { queries } = ca.database;
    const reader = new RevokedSetReader(queries);
    const same = async (): Promise<void> => {
      const [read, whole] = [await reader.read(), await readRevokedSet(queries)];
      const texts = ({ certificates }: typeof whole) => certificates.map((one) => Buffer.from(one.serial).toString('hex'));
      assert.deepEqual([read.sequence, read.suspended, texts(read)], [whole.sequence, whole.suspended, texts(whole)]);
      assert.equal(await reader.read(), read);
    };
    await same();
    const issued = await Promise.all([1, 2, 3].map(() => issueCertificate(ca, joinRequest(), now)));
    await revokeCertificate(ca, { ...issued[0]!, reason: 'superseded' }, ada, now);
    await same();
    const [kept] = (await reader.read()).certificates;
    for (const one of issued.slice(1)) await revokeCertificate(ca, { ...one, reason: 'superseded' }, ada, now);
    await same();
    assert.ok((await reader.read()).certificates.includes(kept!), 'what stays is the same object');
    await suspendIdentity(ca, { spiffeId: orders, region: 'local', reason: 'stolen' }, ada, now);
    await same();
    await resumeIdentity(ca, { spiffeId: orders, region: 'local', reason: 'found' }, ada, now);
    await same();
    await reconcileAuthorities(ca, now + 400 * DAY_MS);
    await same();
    assert.deepEqual((await reader.read()).certificates, []);
  });

  test('many readers at once miss nothing of what comes meanwhile, and have nothing twice', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const reader = new RevokedSetReader(ca.database.queries);
    await reader.read();
    const issued = await Promise.all(Array.from({ length: 12 }, () => issueCertificate(ca, joinRequest(), now)));
    await Promise.all(
      issued.flatMap((one) => [revokeCertificate(ca, { ...one, reason: 'superseded' }, ada, now), reader.read().then(() => undefined)]),
    );
    const serials = (await reader.read()).certificates.map(({ serial }) => Buffer.from(serial).toString('hex'));
    assert.deepEqual(serials.toSorted(), issued.map(({ serialHex }) => serialHex).toSorted());
  });
});
