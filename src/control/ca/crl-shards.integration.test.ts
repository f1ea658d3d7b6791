import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { ada, joinRequest, openTestAuthorities, type TestAuthorities } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { DAY_MS, HOUR_MS, SECOND_MS } from '../../core/time/instant.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { type CertificateList, isListSignedBy, parseCertificateList } from '../../core/x509/certificate-list.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { oids } from '../../core/x509/oid.ts';
import { buildCertificateList } from './build-certificate-list.ts';
import { crlShardOf, crlUrlOf, parseCrlPath } from './crl-path.ts';
import { findCrl, listCrlStates } from './crl-store.ts';
import { issueCertificate } from './issue-certificate.ts';
import type { IssuedCertificate } from './issuance-request.ts';
import { reconcileAuthorities } from './reconcile.ts';
import { revokeCertificate } from './revoke-certificate.ts';

const now = 1_800_000_000_000;
const SHARDS = 4;

type Lists = { readonly full: CertificateList; readonly delta: CertificateList };

async function listsOf(ca: TestAuthorities, shard: number): Promise<Lists> {
  const { built } = (await findCrl(ca.database.queries, ca.authorities.issuing[0]!.id, shard))!;
  return { full: parseCertificateList(built!.der), delta: parseCertificateList(built!.delta!) };
}

async function issueMany(ca: TestAuthorities, count: number): Promise<IssuedCertificate[]> {
  return Promise.all(Array.from({ length: count }, () => issueCertificate(ca, joinRequest({ lifetimeMs: 12 * HOUR_MS }), now)));
}

const serialsOf = ({ revoked }: CertificateList): readonly string[] => revoked.map(({ serialHex }) => serialHex).toSorted();

forEachDatabase('CRL shards', (newUrl) => {
  test('a certificate names its shard, which alone is built again, and all shards together are all revocations', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now, { crlShards: SHARDS });
    const [issuer] = ca.authorities.issuing;
    assert.equal((await reconcileAuthorities(ca, now)).published, 2 * SHARDS);
    const issued = await issueMany(ca, 24);
    const revoked = issued.slice(0, 16);
    for (const one of revoked) await revokeCertificate(ca, { ...one, reason: 'superseded' }, ada, now);
    const touched = new Set(revoked.map(({ serial }) => crlShardOf(serial, SHARDS)));
    assert.equal((await reconcileAuthorities(ca, now + SECOND_MS)).published, touched.size);
    const found: string[] = [];
    for (let shard = 0; shard < SHARDS; shard++) {
      const { full } = await listsOf(ca, shard);
      assert.equal(isListSignedBy(full, issuer!.certificate), true);
      assert.deepEqual(full.scope?.uris, [crlUrlOf(issuer!, shard)]);
      found.push(...serialsOf(full));
      const expected = revoked.filter(({ serial }) => crlShardOf(serial, SHARDS) === shard);
      for (const { der } of expected) assert.deepEqual(parseCertificate(der).crlDistributionPoints, full.scope?.uris, 'octet for octet');
    }
    assert.deepEqual(found.toSorted(), revoked.map(({ serialHex }) => serialHex).toSorted());
    const [one] = issued.slice(16).filter(({ serial }) => crlShardOf(serial, SHARDS) === crlShardOf(revoked[0]!.serial, SHARDS));
    const before = new Map(
      (await listCrlStates(ca.database.queries)).map(({ authorityId, shard, number }) => [`${authorityId}/${shard}`, number]),
    );
    await revokeCertificate(ca, { ...(one ?? issued.at(-1)!), reason: 'keyCompromise' }, ada, now + SECOND_MS);
    await reconcileAuthorities(ca, now + 2 * SECOND_MS);
    const after = await listCrlStates(ca.database.queries);
    assert.equal(after.filter(({ authorityId, shard, number }) => before.get(`${authorityId}/${shard}`) !== number).length, 1);
  });

  test('a rebuilt list takes over what it held, follows amendments, and drops what expired: the same as one built from nothing', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now, { crlShards: 1 });
    const [issuer] = ca.authorities.issuing;
    const issued = await issueMany(ca, 6);
    const revoke = (at: number, reason: 'superseded' | 'keyCompromise', time: number) =>
      revokeCertificate(ca, { ...issued[at]!, reason }, ada, time);
    for (let at = 0; at < 5; at++) {
      await revoke(at, 'superseded', now + at * SECOND_MS);
      await buildCertificateList(ca, issuer!, 0, now + at * SECOND_MS);
    }
    assert.equal((await listsOf(ca, 0)).full.revoked.length, 5);
    await revoke(2, 'keyCompromise', now + 5 * SECOND_MS);
    await buildCertificateList(ca, issuer!, 0, now + 6 * SECOND_MS);
    const { full } = await listsOf(ca, 0);
    assert.deepEqual(
      serialsOf(full),
      issued
        .slice(0, 5)
        .map(({ serialHex }) => serialHex)
        .toSorted(),
    );
    assert.equal(full.revoked.find(({ serialHex }) => serialHex === issued[2]!.serialHex)!.reason, 'keyCompromise');
    for (const at of [now + DAY_MS, now + 2 * DAY_MS]) await buildCertificateList(ca, issuer!, 0, at);
    assert.deepEqual((await listsOf(ca, 0)).full.revoked, [], 'all expired, and the list has none');
  });

  test('deltas share the numbers of the complete lists and say what came since their base', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const [issuer] = ca.authorities.issuing;
    const issued = await issueMany(ca, 3);
    await revokeCertificate(ca, { ...issued[0]!, reason: 'superseded' }, ada, now);
    await buildCertificateList(ca, issuer!, 0, now);
    const first = await listsOf(ca, 0);
    assert.deepEqual(first.delta.revoked, [], 'nothing since the base, which is the list itself');
    for (const at of [1, 2]) {
      await revokeCertificate(ca, { ...issued[at]!, reason: 'superseded' }, ada, now + at * SECOND_MS);
      await buildCertificateList(ca, issuer!, 0, now + at * SECOND_MS);
      const { full, delta } = await listsOf(ca, 0);
      assert.equal(delta.crlNumber, full.crlNumber);
      assert.equal(delta.deltaBase, first.full.crlNumber);
      assert.deepEqual(delta.scope, full.scope);
      assert.equal(isListSignedBy(delta, issuer!.certificate), true);
      assert.deepEqual(
        serialsOf(delta),
        issued
          .slice(1, at + 1)
          .map(({ serialHex }) => serialHex)
          .toSorted(),
      );
      assert.equal(
        delta.extensions.some(({ oid }) => oid === oids.freshestCrl),
        false,
      );
      assert.equal(full.extensions.find(({ oid }) => oid === oids.freshestCrl)?.critical, false);
      const union = new Set([...serialsOf(first.full), ...serialsOf(delta)]);
      assert.deepEqual([...union].toSorted(), serialsOf(full));
    }
    await buildCertificateList(ca, issuer!, 0, now + DAY_MS);
    await buildCertificateList(ca, issuer!, 0, now + DAY_MS + SECOND_MS);
    const last = await listsOf(ca, 0);
    assert.deepEqual(last.delta.revoked, []);
    assert.notEqual(last.delta.deltaBase, first.full.crlNumber, 'a new base at half of the life');
  });

  test('openssl takes the complete list and the delta, and refuses a revoked certificate by either', async () => {
    const today = Math.floor(Date.now() / SECOND_MS) * SECOND_MS;
    await using ca = await openTestAuthorities(await newUrl(), today - HOUR_MS, { crlShards: SHARDS });
    const issued = await issueCertificate(ca, joinRequest(), today);
    const shard = crlShardOf(issued.serial, SHARDS);
    const [issuer] = ca.authorities.issuing;
    await buildCertificateList(ca, issuer!, shard, today - 2 * SECOND_MS);
    const clean = (await findCrl(ca.database.queries, issuer!.id, shard))!.built!;
    await revokeCertificate(ca, { ...issued, reason: 'keyCompromise' }, ada, today);
    await buildCertificateList(ca, issuer!, shard, today);
    const { der, delta } = (await findCrl(ca.database.queries, issuer!.id, shard))!.built!;
    const folder = await mkdtemp(join(tmpdir(), 'crl-shards-'));
    const write = async (name: string, label: string, ...ders: readonly Uint8Array[]): Promise<string> => {
      await writeFile(join(folder, name), ders.map((one) => encodePem(label, one)).join(''));
      return join(folder, name);
    };
    const files = [
      '-CAfile',
      await write('roots', 'CERTIFICATE', ...ca.authorities.roots.map((root) => root.der)),
      '-untrusted',
      await write('issuer', 'CERTIFICATE', issuer!.certificate.der),
    ];
    const leaf = await write('leaf', 'CERTIFICATE', issued.der);
    const verify = async (...args: readonly string[]): Promise<string> => {
      try {
        return (await promisify(execFile)('openssl', ['verify', '-crl_check', '-extended_crl', ...files, ...args, leaf])).stdout;
      } catch (error) {
        return String((error as { stderr: string }).stderr);
      }
    };
    assert.match(await verify('-CRLfile', await write('clean', 'X509 CRL', clean.der)), /OK/);
    assert.match(await verify('-CRLfile', await write('full', 'X509 CRL', der)), /certificate revoked/);
    assert.match(await verify('-use_deltas', '-CRLfile', await write('delta', 'X509 CRL', clean.der, delta!)), /certificate revoked/);
    await rm(folder, { recursive: true });
  });
});

test('parseCrlPath() reads what crlUrlOf() writes and refuses everything else', () => {
  const authority = { crlUrl: 'http://127.0.0.1:8080/crl/authority_00000000000000000000000001.crl', crlShards: SHARDS };
  for (const kind of ['full', 'delta'] as const) {
    const path = new URL(crlUrlOf(authority, 3, kind)!).pathname;
    assert.deepEqual(parseCrlPath(path), { authorityId: 'authority_00000000000000000000000001', shard: 3, kind });
    const only = new URL(crlUrlOf({ ...authority, crlShards: 1 }, 0, kind)!).pathname;
    assert.deepEqual(parseCrlPath(only), { authorityId: 'authority_00000000000000000000000001', shard: null, kind });
  }
  assert.equal(crlUrlOf({ crlUrl: null, crlShards: 4 }, 0), null);
  const stem = '/crl/authority_00000000000000000000000001';
  for (const path of [
    '/01.crl',
    '/-1.crl',
    '/1e1.crl',
    '/10000.crl',
    '/1',
    '/.crl',
    '/1.crl.crl',
    '.delta',
    '/1.delta',
    '/1/2.crl',
    '.delta.delta.crl',
  ]) {
    assert.equal(parseCrlPath(`${stem}${path}`), null, path);
  }
});
