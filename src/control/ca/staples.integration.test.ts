import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinRequest, openTestAuthorities, ada } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { compileProfile } from '../../core/issuance/profile-spec.ts';
import { parseProfileSpec } from '../../core/issuance/parse-profile-spec.ts';
import { builtInProfile, type ProfileName } from '../../core/issuance/profile.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../../core/time/instant.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { judgeByResponse } from '../../core/x509/judge-status.ts';
import { builtInProfiles } from '../policies/declared-profiles.ts';
import { issueCertificate } from './issue-certificate.ts';
import { OcspAnswers } from './ocsp-answers.ts';
import { revokeCertificate } from './revoke-certificate.ts';
import { Staples } from './staples.ts';

const now = 1_800_000_000_000;
const stapled = compileProfile('workload' as ProfileName, parseProfileSpec({ base: 'workload', status: 'ocsp' }));

async function open(url: string, profile = stapled) {
  const made = await openTestAuthorities(url, now - HOUR_MS);
  const profiles = {
    ...builtInProfiles,
    find: (_environment: string, name: ProfileName) => (name === 'workload' ? profile : builtInProfile(name)),
  };
  const ca = { ...made, authorities: { ...made.authorities, profiles } };
  const ocsp = new OcspAnswers(ca);
  const staples = new Staples({ queries: ca.database.queries, ocsp, random: () => 0.5 });
  const issued = await issueCertificate(ca, joinRequest({ lifetimeMs: 30 * DAY_MS }), now);
  const holder = {
    proxyId: 'proxy_00000000000000000000000001',
    issuerKeySha256: issued.issuerKeySha256,
    serialHex: Buffer.from(issued.serial).toString('hex'),
  } as const;
  const told: string[] = [];
  staples.subscribe((ids) => void told.push(...ids));
  return {
    ca,
    ocsp,
    staples,
    issued,
    holder,
    told,
    async [Symbol.asyncDispose]() {
      ocsp[Symbol.dispose]();
      await made[Symbol.asyncDispose]();
    },
  };
}

forEachDatabase('Staples', (newUrl) => {
  test('a data plane gets an answer that verifies as good, and the next one when half its life is over, at a time of its own', async () => {
    await using lab = await open(await newUrl());
    await lab.ocsp.reconcile(now);
    const answer = (await lab.staples.read(lab.holder, now))!;
    const [leaf, issuer] = lab.issued.chain.map((der) => parseCertificate(der)) as [ReturnType<typeof parseCertificate>, never];
    assert.deepEqual(judgeByResponse(now, answer.der, { leaf, issuer }), { kind: 'good', nextUpdate: answer.nextUpdate });
    assert.equal((await lab.staples.read(lab.holder, now + MINUTE_MS))!.sha256, answer.sha256, 'the same for whoever comes back');
    lab.staples.reconcile(now + 15 * HOUR_MS - MINUTE_MS);
    assert.deepEqual(lab.told, []);
    lab.staples.reconcile(now + 15 * HOUR_MS);
    assert.deepEqual(lab.told, [lab.holder.proxyId]);
    const next = (await lab.staples.read(lab.holder, now + 15 * HOUR_MS))!;
    assert.ok(next.nextUpdate > answer.nextUpdate + 12 * HOUR_MS);
    lab.staples.reconcile(now + 16 * HOUR_MS);
    assert.equal(lab.told.length, 1, 'once for each answer');
  });

  test('none is given of a revoked certificate, of one that names no responder, of one that nobody issued, or before there is a responder', async () => {
    const url = await newUrl();
    await using lab = await open(url);
    assert.equal(await lab.staples.read(lab.holder, now), null, 'no responder yet');
    await lab.ocsp.reconcile(now);
    lab.staples.reconcile(now + MINUTE_MS);
    assert.deepEqual(lab.told, [lab.holder.proxyId], 'it is told again soon');
    assert.notEqual(await lab.staples.read(lab.holder, now + MINUTE_MS), null);
    assert.equal(await lab.staples.read({ ...lab.holder, serialHex: '0102030405060708' }, now), null);
    assert.equal(await lab.staples.read({ ...lab.holder, issuerKeySha256: 'ab'.repeat(32) }, now), null);
    await revokeCertificate(lab.ca, { ...lab.issued, reason: 'keyCompromise' }, ada, now + MINUTE_MS + SECOND_MS);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await lab.staples.read(lab.holder, now + 2 * MINUTE_MS), null, 'revoked');
  });

  test('a certificate of the usual profile, or of a short-lived one, has nothing to staple', async () => {
    for (const profile of [
      builtInProfile('workload' as ProfileName)!,
      compileProfile('workload' as ProfileName, parseProfileSpec({ base: 'workload', cadence: 'short-lived' })),
    ]) {
      await using lab = await open(await newUrl(), { ...profile, lifetimeMs: { ...profile.lifetimeMs, max: 30 * DAY_MS } });
      await lab.ocsp.reconcile(now);
      assert.equal(await lab.staples.read(lab.holder, now), null);
      lab.staples.reconcile(now + DAY_MS);
      assert.deepEqual(lab.told, []);
    }
  });
});
