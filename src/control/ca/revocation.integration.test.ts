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
  trustDomain,
} from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import type { DrillKind } from '../../core/findings/drill-kind.ts';
import { controlPlaneSpiffeId, probeSpiffeId } from '../../core/identity/spiffe-id.ts';
import { DAY_MS, HOUR_MS, SECOND_MS } from '../../core/time/instant.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { isListSignedBy, parseCertificateList } from '../../core/x509/certificate-list.ts';
import { verifyPath } from '../../core/x509/verify-path.ts';
import { openDatabase } from '../../platform/db/open-database.ts';
import { buildCertificateList } from './build-certificate-list.ts';
import { crlPath } from './crl-path.ts';
import { issueCertificate } from './issue-certificate.ts';
import { issueControlPlaneCertificate } from './issue-control-plane-certificate.ts';
import { issueDrillCertificate, strangerSpiffeId } from './issue-drill-certificate.ts';
import { reconcileAuthorities } from './reconcile.ts';
import { findCrl } from './crl-store.ts';
import { revokeCertificate } from './revoke-certificate.ts';
import { readRevokedSet } from './revoked-set.ts';
import { resumeIdentity, suspendIdentity } from './suspend-identity.ts';
import { readTrustBundle } from './trust-bundle.ts';

const now = 1_800_000_000_000;
/** Numbers go with the clock, in seconds. */
const FIRST_NUMBER = now / SECOND_MS;
const conflict = { code: 'state-conflict' };
const suspension = { spiffeId: orders, region: 'local', reason: 'stolen' };

type Wrap = NonNullable<NonNullable<Parameters<typeof openTestAuthorities>[2]>['wrap']>;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex');

const drillOrder = (kind: DrillKind) => ({ jobId: 'drill_1', kind, csr: newTestRequest().csr, ...place });

async function listOf(ca: TestAuthorities, at = 0) {
  const issuer = ca.authorities.issuing[at]!;
  const record = (await findCrl(ca.database.queries, issuer.id, 0))!;
  return { record, issuer, list: parseCertificateList(record.built!.der) };
}

forEachDatabase('revocation', (newUrl) => {
  test('a revoked certificate is in the set at once, under a higher number, and `changed` says so', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    let heard = 0;
    using _subscription = ca.changed.subscribe(() => heard++);
    const before = await readRevokedSet(ca.database.queries);
    const issued = await issueCertificate(ca, joinRequest(), now);
    const { revokedSequence } = await revokeCertificate(ca, { ...issued, reason: 'superseded' }, ada, now);
    const set = await readRevokedSet(ca.database.queries);
    assert.equal(set.sequence, revokedSequence);
    assert.ok(set.sequence > before.sequence);
    assert.deepEqual(
      set.certificates.map(({ issuerKeySha256, serial, spiffeId, forDrill }) => [issuerKeySha256, hex(serial), spiffeId, forDrill]),
      [[issued.issuerKeySha256, issued.serialHex, issued.spiffeId, false]],
    );
    await turn();
    assert.equal(heard, 1);
    assert.equal(ca.entriesOf('certificate.revoked').length, 1);
  });

  test('revocation is refused for what is unknown, revoked, expired or being issued, and changes nothing', async () => {
    let fences = 0;
    const wrap: Wrap = (bare) => ({ ...bare, commitFenced: (unit) => (fences++, bare.commitFenced(unit)) });
    await using ca = await openTestAuthorities(await newUrl(), now, { wrap });
    const issued = await issueCertificate(ca, joinRequest(), now);
    const reason = 'superseded' as const;
    await assert.rejects(revokeCertificate(ca, { ...issued, serial: new Uint8Array(17), reason }, ada, now), { code: 'not-found' });
    await assert.rejects(revokeCertificate(ca, { ...issued, issuerKeySha256: ca.authorities.issuing[1]!.keySha256, reason }, ada, now), {
      code: 'not-found',
    });
    const fencesBefore = fences;
    await assert.rejects(
      revokeCertificate(ca, { ...issued, reason }, ada, issued.notAfter + 7 * DAY_MS + 1),
      conflict,
      'expired, and past every grace',
    );
    assert.equal(fences, fencesBefore, 'nobody waits for that');
    const before = await readRevokedSet(ca.database.queries);
    assert.deepEqual(before.certificates, []);
    await revokeCertificate(ca, { ...issued, reason }, ada, now);
    const sequence = (await readRevokedSet(ca.database.queries)).sequence;
    for (const again of ['superseded', 'unspecified'] as const) {
      await assert.rejects(revokeCertificate(ca, { ...issued, reason: again }, ada, now), conflict, again);
    }
    assert.equal((await readRevokedSet(ca.database.queries)).sequence, sequence);
    await revokeCertificate(ca, { ...issued, reason: 'keyCompromise' }, ada, now);
    assert.equal(ca.entriesOf('certificate.revocation-amended').length, 1);
    await assert.rejects(revokeCertificate(ca, { ...issued, reason: 'keyCompromise' }, ada, now), conflict, 'learnt already');
  });

  test('of two revocations at once one is made', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const issued = await issueCertificate(ca, joinRequest(), now);
    const results = await Promise.allSettled([1, 2].map(() => revokeCertificate(ca, { ...issued, reason: 'superseded' }, ada, now)));
    assert.deepEqual(results.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
    assert.equal(ca.entriesOf('certificate.revoked').length, 1);
  });

  test('suspension and its end are each made once, move the number up, and spare the control plane', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    await assert.rejects(resumeIdentity(ca, suspension, ada, now), conflict);
    const first = await suspendIdentity(ca, suspension, ada, now);
    assert.deepEqual((await readRevokedSet(ca.database.queries)).suspended, [orders]);
    await assert.rejects(suspendIdentity(ca, suspension, ada, now), conflict);
    const second = await resumeIdentity(ca, suspension, ada, now);
    assert.ok(second.revokedSequence > first.revokedSequence);
    assert.deepEqual((await readRevokedSet(ca.database.queries)).suspended, []);
    await issueCertificate(ca, joinRequest(), now);
    const itself = { ...suspension, spiffeId: controlPlaneSpiffeId(trustDomain, 'production') };
    await assert.rejects(suspendIdentity(ca, itself, ada, now), { code: 'input-invalid' });
    await assert.rejects(suspendIdentity(ca, { ...suspension, reason: 'x'.repeat(501) }, ada, now), { code: 'input-invalid' });
    assert.deepEqual(
      ca.entries.filter(({ type }) => type.startsWith('identity.')).map(({ type }) => type),
      ['identity.suspended', 'identity.resumed'],
    );
  });

  test('the set survives a restart with its number; what expired leaves it under a new one', async () => {
    const url = await newUrl();
    let sequence = 0;
    let reopen;
    {
      await using ca = await openTestAuthorities(url, now);
      reopen = ca.kek;
      const issued = await issueCertificate(ca, joinRequest({ lifetimeMs: HOUR_MS }), now);
      ({ revokedSequence: sequence } = await revokeCertificate(ca, { ...issued, reason: 'superseded' }, ada, now));
    }
    {
      await using database = await openDatabase({ url });
      const set = await readRevokedSet(database.queries);
      assert.equal(set.sequence, sequence);
      assert.equal(set.certificates.length, 1);
    }
    await using ca = await openTestAuthorities(url, now, { reopen });
    await reconcileAuthorities(ca, now + HOUR_MS);
    assert.equal((await readRevokedSet(ca.database.queries)).certificates.length, 1, 'just expired: clocks differ');
    let heard = 0;
    using _subscription = ca.changed.subscribe(() => heard++);
    assert.equal((await reconcileAuthorities(ca, now + 2 * HOUR_MS)).dropped, 1);
    assert.equal((await reconcileAuthorities(ca, now + 2 * HOUR_MS)).dropped, 0);
    const set = await readRevokedSet(ca.database.queries);
    assert.deepEqual(set.certificates, []);
    assert.equal(set.sequence, sequence + 1);
    await turn();
    assert.equal(heard, 1);
  });

  test('the bundle holds both roots and both issuing authorities, and its number moved with each pair', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const bundle = (await readTrustBundle(ca.database.queries))!;
    assert.deepEqual(bundle.authorities.map(({ role }) => role).toSorted(), ['issuing', 'issuing', 'root', 'root']);
    assert.equal(bundle.sequence, 2);
    assert.equal(bundle.trustDomain, trustDomain);
    await using empty = await openDatabase({ url: await newUrl() });
    assert.equal(await readTrustBundle(empty.queries), null);
  });

  test('each authority publishes its own list: signed, numbered upwards, with its distribution point, without others’ certificates', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    assert.equal((await reconcileAuthorities(ca, now)).published, 2);
    assert.deepEqual(await reconcileAuthorities(ca, now + SECOND_MS), { abandoned: 0, dropped: 0, published: 0, settled: true });
    const issued = await issueCertificate(ca, joinRequest(), now);
    await revokeCertificate(ca, { ...issued, reason: 'keyCompromise' }, ada, now + SECOND_MS);
    const late = { abandoned: 0, dropped: 0, published: 0, settled: false };
    assert.deepEqual(await reconcileAuthorities(ca, now - SECOND_MS), late, 'a clock set back makes no list');
    assert.equal((await reconcileAuthorities(ca, now + 2 * SECOND_MS)).published, 1);
    const { record, issuer, list } = await listOf(ca);
    assert.equal(record.number, FIRST_NUMBER + 2);
    assert.equal(isListSignedBy(list, issuer.certificate), true);
    assert.deepEqual(
      list.revoked.map(({ serialHex, reason }) => [serialHex, reason]),
      [[issued.serialHex, 'keyCompromise']],
    );
    const point = parseCertificate(issued.der).crlDistributionPoints;
    assert.deepEqual(list.scope?.uris, point);
    assert.equal(list.scope?.uris[0], `http://127.0.0.1:8080${crlPath(issuer.id)}`);
    const other = await listOf(ca, 1);
    assert.equal(other.record.number, FIRST_NUMBER);
    assert.deepEqual(other.list.revoked, []);
    assert.equal(isListSignedBy(other.list, issuer.certificate), false);
  });

  test('a list is built again at half of its life, and its number rises over a restart', async () => {
    const url = await newUrl();
    let reopen;
    {
      await using ca = await openTestAuthorities(url, now);
      reopen = ca.kek;
      await reconcileAuthorities(ca, now);
      assert.equal((await reconcileAuthorities(ca, now + DAY_MS - SECOND_MS)).published, 0);
      assert.equal((await reconcileAuthorities(ca, now + DAY_MS)).published, 2);
      await assert.rejects(buildCertificateList(ca, { ...ca.authorities.issuing[0]!, id: 'authority_none' }, 0, now), {
        code: 'not-found',
      });
      const numbers = ca.entriesOf('crl.published').map(({ data }) => data['number']);
      assert.deepEqual(numbers, [FIRST_NUMBER, FIRST_NUMBER, FIRST_NUMBER + DAY_MS / SECOND_MS, FIRST_NUMBER + DAY_MS / SECOND_MS]);
    }
    await using ca = await openTestAuthorities(url, now, { reopen });
    await reconcileAuthorities(ca, now + 2 * DAY_MS);
    assert.equal((await listOf(ca)).record.number, FIRST_NUMBER + (2 * DAY_MS) / SECOND_MS);
  });

  test('a burst of revocations makes a few lists in one second, then one a second, with numbers that rise', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const [issuer] = ca.authorities.issuing;
    const numbers: (number | null)[] = [];
    for (let at = 0; at < 6; at++) {
      const issued = await issueCertificate(ca, joinRequest(), now);
      await revokeCertificate(ca, { ...issued, reason: 'superseded' }, ada, now);
      numbers.push((await buildCertificateList(ca, issuer!, 0, now + at * 100))?.number ?? null);
    }
    assert.deepEqual(numbers, [FIRST_NUMBER, FIRST_NUMBER + 1, FIRST_NUMBER + 2, null, null, null]);
    assert.equal((await buildCertificateList(ca, issuer!, 0, now + SECOND_MS))!.number, FIRST_NUMBER + 3);
    assert.equal((await listOf(ca)).list.revoked.length, 6);
    assert.equal(await buildCertificateList(ca, issuer!, 0, now + SECOND_MS), null, 'nothing changed');
  });

  test('of two processes that build a list at once, one publishes', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const [issuer] = ca.authorities.issuing;
    const built = await Promise.all([1, 2].map(() => buildCertificateList(ca, issuer!, 0, now)));
    assert.equal(built.filter((list) => list !== null).length, 1);
    assert.equal((await listOf(ca)).record.number, FIRST_NUMBER);
  });

  test('an entry stays on one list beyond its expiry, then leaves', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const issued = await issueCertificate(ca, joinRequest({ lifetimeMs: HOUR_MS }), now);
    await revokeCertificate(ca, { ...issued, reason: 'superseded' }, ada, now);
    const sizes: number[] = [];
    for (const day of [0, 1, 2, 3, 4]) {
      await reconcileAuthorities(ca, now + day * DAY_MS + SECOND_MS);
      sizes.push((await listOf(ca)).list.revoked.length);
    }
    assert.equal(sizes[0], 1);
    assert.equal(sizes[1], 1, 'the first list after the expiry');
    assert.equal(sizes.at(-1), 0);
  });

  test('drills get one flaw each, signed by the real authority, in the log as drills, and belong to no data plane', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const reasons: Record<string, string> = {};
    for (const drill of ['expired', 'not-yet-valid', 'wrong-usage', 'wrong-identity', 'revoked', 'revoked-then-resumed'] as const) {
      const issued = await issueDrillCertificate(ca, drillOrder(drill), now);
      assert.equal(issued.proxyId, null);
      const [leaf, ...intermediates] = issued.chain.map((der) => parseCertificate(der));
      const verdict = verifyPath({ now, leaf: leaf!, intermediates, anchors: ca.authorities.roots, usage: 'client' });
      reasons[drill] = verdict.kind === 'invalid' ? verdict.reason : String(leaf!.subjectAltNames?.uri);
    }
    const probe = probeSpiffeId(trustDomain, 'production');
    assert.deepEqual(reasons, {
      expired: 'expired',
      'not-yet-valid': 'not-yet-valid',
      'wrong-usage': 'wrong-usage',
      'wrong-identity': strangerSpiffeId(trustDomain, 'production'),
      revoked: probe,
      'revoked-then-resumed': probe,
    });
    assert.deepEqual(
      ca.entriesOf('certificate.issued').map(({ data }) => (data['drill'] as { kind: string }).kind),
      Object.keys(reasons),
    );
    for (const drill of ['no-certificate', 'unknown-authority', 'tls-1.1', 'plaintext'] as const) {
      await assert.rejects(issueDrillCertificate(ca, drillOrder(drill), now), { code: 'input-invalid' }, drill);
    }
    await suspendIdentity(ca, { ...suspension, spiffeId: probe }, ada, now);
    await assert.rejects(issueDrillCertificate(ca, drillOrder('expired'), now), { code: 'issuance-refused' });
  });

  test('the control plane gets its own certificate, under its exact identity, for a fresh key', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const order = { ...place, names: { dns: ['localhost'], ip: ['127.0.0.1'] } };
    const { certificate, privateKey } = await issueControlPlaneCertificate(ca, order, now);
    const leaf = parseCertificate(certificate.der);
    assert.deepEqual(leaf.subjectAltNames?.uri, [controlPlaneSpiffeId(trustDomain, 'production')]);
    assert.deepEqual(leaf.subjectAltNames?.dns, ['localhost']);
    assert.equal(privateKey.type, 'private');
    await assert.rejects(issueControlPlaneCertificate(ca, { ...order, environment: 'staging' }, now), { code: 'issuance-refused' });
  });
});
