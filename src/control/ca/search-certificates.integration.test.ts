import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ada,
  joinRequest,
  newTestRequest,
  openTestAuthorities,
  orders,
  place,
  type TestAuthorities,
} from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { HOUR_MS, SECOND_MS } from '../../core/time/instant.ts';
import { parseCertificateList } from '../../core/x509/certificate-list.ts';
import { findCrl } from './crl-store.ts';
import type { IssuanceRequest } from './issuance-request.ts';
import { issueCertificate } from './issue-certificate.ts';
import { reconcileAuthorities } from './reconcile.ts';
import { revokeCertificate } from './revoke-certificate.ts';
import { planRevocations, revokeCertificates } from './revoke-certificates.ts';
import { readRevokedSet } from './revoked-set.ts';
import { type CertificateSelection, countCertificates, listCertificates } from './search-certificates.ts';

const now = 1_800_000_000_000;
const everywhere = { environments: '*' } as const;
const byRest: Partial<IssuanceRequest> = {
  door: 'rest',
  profile: 'server',
  asker: { role: 'operator', scope: ['production'], spiffeId: null },
  spiffeId: null,
  proxyId: null,
};
const serverRequest = (...dns: readonly string[]): IssuanceRequest => joinRequest({ ...byRest, names: { dns, ip: ['10.0.0.1'] } });

const found = async (ca: TestAuthorities, selection: Partial<CertificateSelection>): Promise<number> =>
  (await listCertificates(ca.database.queries, { ...everywhere, ...selection, limit: 100 })).length;

forEachDatabase('search and revocation by criteria', (newUrl) => {
  test('finds by every criterion alone and together, within the environments of who asks', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now - HOUR_MS);
    const join = await issueCertificate(ca, joinRequest(), now);
    const { csr } = newTestRequest();
    const web = await issueCertificate(ca, { ...serverRequest('www.acme.test', 'api.acme.test'), csr }, now + SECOND_MS);
    await issueCertificate(ca, serverRequest('www.acme.test'), now + 2 * SECOND_MS);
    await revokeCertificate(ca, { ...web, reason: 'superseded' }, ada, now + 3 * SECOND_MS);
    const cases: readonly (readonly [number, Partial<CertificateSelection>])[] = [
      [3, {}],
      [1, { spiffeId: orders }],
      [2, { name: 'www.acme.test' }],
      [1, { name: 'api.acme.test' }],
      [2, { name: '10.0.0.1' }],
      [0, { name: 'acme.test' }],
      [1, { name: 'www.acme.test', status: 'revoked' }],
      [1, { name: 'www.acme.test', status: 'issued' }],
      [1, { serialPrefix: join.serialHex.slice(0, 11) }],
      [1, { serialPrefix: join.serialHex }],
      [0, { serialPrefix: join.serialHex.slice(0, 10), door: 'rest' }],
      [0, { serialPrefix: '000000' }],
      [1, { spkiSha256: csr.spkiSha256 }],
      [3, { issuerId: ca.authorities.issuing[0]!.id }],
      [0, { issuerId: ca.authorities.issuing[1]!.id }],
      [2, { profile: 'server' }],
      [1, { door: 'join' }],
      [2, { from: now + SECOND_MS }],
      [1, { from: now + SECOND_MS, until: now + 2 * SECOND_MS }],
      [2, { revocableAt: now }],
      [3, { environments: ['production'] }],
      [0, { environments: ['staging'] }],
      [0, { environments: [] }],
    ];
    for (const [count, selection] of cases) {
      assert.equal(await found(ca, selection), count, JSON.stringify(selection));
      assert.equal(await countCertificates(ca.database.queries, { ...everywhere, ...selection }, 100), count);
    }
    assert.equal(await countCertificates(ca.database.queries, everywhere, 2), 2, 'counted up to the limit');
    for (const serialPrefix of ['', '01', '01abc', 'xyzxyz', '01ABCD', '0'.repeat(43)]) {
      await assert.rejects(found(ca, { serialPrefix }), { code: 'input-invalid' }, serialPrefix);
    }
  });

  test('pages of a name have no gap and no repeat, ties of time included', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const issued = await Promise.all(Array.from({ length: 7 }, () => issueCertificate(ca, serverRequest('www.acme.test'), now)));
    const seen: string[] = [];
    let before: { readonly reservedAt: number; readonly serial: Uint8Array } | undefined;
    do {
      const page = await listCertificates(ca.database.queries, {
        ...everywhere,
        name: 'www.acme.test',
        limit: 3,
        ...(before && { before }),
      });
      seen.push(...page.map(({ serial }) => Buffer.from(serial).toString('hex')));
      before = page.at(-1);
    } while (before !== undefined);
    assert.deepEqual(
      seen,
      issued
        .map(({ serialHex }) => serialHex)
        .toSorted()
        .toReversed(),
    );
  });

  test('a dry run tells and changes nothing; then each is revoked once, with an entry of its own, and on its list', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const { queries } = ca.database;
    const issued = await Promise.all(Array.from({ length: 5 }, () => issueCertificate(ca, joinRequest(), now)));
    const kept = await issueCertificate(ca, serverRequest('www.acme.test'), now);
    await revokeCertificate(ca, { ...issued[0]!, reason: 'superseded' }, ada, now);
    const selection = { ...everywhere, spiffeId: orders };
    const plan = await planRevocations(queries, selection, now);
    assert.deepEqual([plan.count, plan.more, plan.first.length], [4, false, 4]);
    assert.equal((await readRevokedSet(queries)).certificates.length, 1);
    let heard = 0;
    using _subscription = ca.changed.subscribe(() => heard++);
    const round = await revokeCertificates(ca, { selection, reason: 'keyCompromise' }, ada, now);
    assert.deepEqual([round.revoked, round.left], [4, false]);
    const set = await readRevokedSet(queries);
    assert.deepEqual([set.certificates.length, set.sequence], [5, round.revokedSequence]);
    assert.equal(ca.entriesOf('certificate.revoked').length, 5);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(heard, 1);
    const again = await revokeCertificates(ca, { selection, reason: 'superseded' }, ada, now);
    assert.deepEqual(again, { revoked: 0, left: false, revokedSequence: null });
    await reconcileAuthorities(ca, now + SECOND_MS);
    const { built } = (await findCrl(queries, ca.authorities.issuing[0]!.id, 0))!;
    assert.equal(parseCertificateList(built!.der).revoked.length, 5);
    assert.equal(await found(ca, { spkiSha256: '0'.repeat(64) }), 0);
    assert.equal((await listCertificates(queries, { ...everywhere, status: 'issued', limit: 9 }))[0]!.serial.length, kept.serial.length);
  });

  test('without a criterion nothing is revoked; what is of other environments, expired or reserved is left alone', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    await issueCertificate(ca, joinRequest({ lifetimeMs: HOUR_MS, ...place }), now);
    for (const environments of ['*', ['production']] as const) {
      for (const at of [
        planRevocations(ca.database.queries, { environments }, now),
        revokeCertificates(ca, { selection: { environments, status: 'issued' }, reason: 'superseded' }, ada, now),
      ]) {
        await assert.rejects(at, { code: 'input-invalid' });
      }
    }
    const foreign = { environments: ['staging'], spiffeId: orders };
    assert.equal((await planRevocations(ca.database.queries, foreign, now)).count, 0);
    assert.equal((await revokeCertificates(ca, { selection: foreign, reason: 'superseded' }, ada, now)).revoked, 0);
    assert.equal(
      (await revokeCertificates(ca, { selection: { ...everywhere, spiffeId: orders }, reason: 'superseded' }, ada, now + 2 * HOUR_MS))
        .revoked,
      0,
    );
    assert.equal(ca.entriesOf('certificate.revoked').length, 0);
  });
});
