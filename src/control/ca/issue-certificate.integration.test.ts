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
import { controlPlaneSpiffeId, parseSpiffeId, probeSpiffeId, serviceSpiffeId, type SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { Asker } from '../../core/issuance/issuance-order.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../core/time/instant.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { verifyPath } from '../../core/x509/verify-path.ts';
import type { Authorities } from './authorities.ts';
import { findCertificate, findCertificatesBySerial, insertReservation, isKeyCompromised } from './certificate-store.ts';
import { authorityKeyTypes } from './create-authority-pair.ts';
import { initializeAuthorities } from './initialize-authorities.ts';
import type { IssuanceRequest } from './issuance-request.ts';
import { issueCertificate } from './issue-certificate.ts';
import { openAuthorities } from './open-authorities.ts';
import { reconcileAuthorities } from './reconcile.ts';
import { renewCertificate } from './renew-certificate.ts';
import { revokeCertificate } from './revoke-certificate.ts';
import { type CertificateFilter, listCertificates } from './search-certificates.ts';
import { suspendIdentity } from './suspend-identity.ts';

const now = 1_800_000_000_000;
const HOLDER = { kind: 'holder' } as const;
const refused = { code: 'issuance-refused' };

/** The authorities, but something happens before each signature is given back. */
function beforeSignature(authorities: Authorities, happen: () => Promise<unknown>): Authorities {
  const issuing = authorities.issuing.map((issuer) => ({
    ...issuer,
    signer: {
      ...issuer.signer,
      sign: async (tbs: never) => {
        await happen();
        return issuer.signer.sign(tbs);
      },
    },
  }));
  return { ...authorities, issuing };
}

/** A data plane that proved this identity and asks for it. */
const as = (spiffeId: SpiffeId): Partial<IssuanceRequest> => ({ spiffeId, asker: { role: 'data-plane', scope: '*', spiffeId } });

const typesSince = (ca: TestAuthorities, from: number): string[] => ca.entries.slice(from).map(({ type }) => type);

forEachDatabase('issueCertificate()', (newUrl) => {
  test('reserves, signs, records, and what it returns verifies against every root of the bundle', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const from = ca.entries.length;
    const issued = await issueCertificate(ca, joinRequest(), now);
    assert.deepEqual(typesSince(ca, from), ['certificate.reserved', 'certificate.issued']);
    const leaf = parseCertificate(issued.der);
    assert.equal(leaf.serialHex, issued.serialHex);
    assert.equal(issued.serial.length, 17);
    assert.equal(issued.serial[0], 0x01);
    assert.deepEqual(leaf.subjectAltNames?.uri, [orders]);
    const intermediates = issued.chain.slice(1).map((der) => parseCertificate(der));
    const verdict = verifyPath({ now, leaf, intermediates, anchors: ca.authorities.roots, usage: 'client' });
    assert.equal(verdict.kind, 'valid');
    const held = await findCertificate(ca.database.queries, issued.issuerKeySha256, issued.serial);
    assert.equal(held?.status, 'issued');
    assert.deepEqual(Buffer.from(held.der!), Buffer.from(issued.der));
    assert.equal(held.proxyId, 'proxy_00000000000000000000000001');
    assert.equal(await findCertificate(ca.database.queries, '0'.repeat(64), issued.serial), null, 'a serial alone is no identity');
  });

  test('refuses what the asker may not have, logs each refusal with its reasons, and reserves nothing', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const probe = probeSpiffeId(trustDomain, 'production');
    const cases: readonly (readonly [string, Partial<IssuanceRequest>])[] = [
      ['another identity', { spiffeId: serviceSpiffeId(trustDomain, 'production', 'payments') }],
      ['no identity', { spiffeId: null }],
      ['another trust domain', as(parseSpiffeId('spiffe://other.example/production/orders'))],
      ['another environment', as(serviceSpiffeId(trustDomain, 'staging', 'orders'))],
      ['the control plane', as(controlPlaneSpiffeId(trustDomain, 'production'))],
      ['the probe as a workload', as(probe)],
      ['a reserved name', as(parseSpiffeId('spiffe://acme.example/production/countersign/x'))],
      ['a name below a service', as(parseSpiffeId('spiffe://acme.example/production/orders/child'))],
      ['a malformed DNS name', { names: { dns: ['a..b'], ip: [] } }],
      ['a malformed address', { names: { dns: [], ip: ['127.0.0.256'] } }],
      ['a life too long', { lifetimeMs: 31 * DAY_MS }],
      ['a life of no number', { lifetimeMs: Number.NaN }],
      ['a negative life', { lifetimeMs: -1 }],
      ['a door that the profile does not know', { door: 'drill' }],
      ['the control plane’s profile', { profile: 'control-plane' }],
      ['an authority', { profile: 'issuing' }],
      ['a root', { profile: 'root' }],
      ['a drill', { profile: 'drill' }],
      ['a flaw outside a drill', { flaw: 'expired' }],
      ['an asker without rights', { door: 'rest', asker: { role: 'viewer', scope: '*', spiffeId: null } }],
      ['an operator of another environment', { door: 'rest', asker: { role: 'operator', scope: ['staging'], spiffeId: null } }],
    ];
    for (const [name, change] of cases) {
      const from = ca.entries.length;
      await assert.rejects(issueCertificate(ca, joinRequest(change), now), refused, name);
      assert.deepEqual(typesSince(ca, from), ['certificate.refused'], name);
      assert.notDeepEqual(ca.entries.at(-1)!.data['reasons'], [], name);
    }
    assert.deepEqual(ca.entriesOf('certificate.reserved'), []);
  });

  test('tells every reason at once, the suspension too', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    await suspendIdentity(ca, { spiffeId: orders, region: 'local', reason: 'stolen' }, ada, now);
    const attempt = issueCertificate(ca, joinRequest({ lifetimeMs: 31 * DAY_MS, names: { dns: ['a..b'], ip: [] } }), now);
    await assert.rejects(attempt, (error: Error & { reasons?: readonly string[] }) => {
      assert.equal(error.reasons?.length, 3, error.message);
      return true;
    });
  });

  test('a claim that refuses leaves no reservation and no entry', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const from = ca.entries.length;
    await assert.rejects(issueCertificate(ca, joinRequest({ claim: () => Promise.reject(new Error('used up')) }), now), /used up/);
    assert.deepEqual(typesSince(ca, from), []);
  });

  test('is not asked for a claim when the identity is suspended: a token is not used up for nothing', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    await suspendIdentity(ca, { spiffeId: orders, region: 'local', reason: 'stolen' }, ada, now);
    let claims = 0;
    await assert.rejects(issueCertificate(ca, joinRequest({ claim: async () => claims++ }), now), refused);
    assert.equal(claims, 0);
  });

  test('32 at once share two commits, and no serial comes twice', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const requests = Array.from({ length: 32 }, () => joinRequest());
    const before = ca.commits();
    const issued = await Promise.all(requests.map((request) => issueCertificate(ca, request, now)));
    assert.equal(new Set(issued.map(({ serialHex }) => serialHex)).size, 32);
    assert.ok(ca.commits() - before <= 3, `${ca.commits() - before} commits`);
    assert.equal(ca.entriesOf('certificate.issued').length, 32);
  });

  test('a serial that is taken cannot be reserved again', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const { issuerKeySha256, serial } = await issueCertificate(ca, joinRequest(), now);
    const held = (await findCertificate(ca.database.queries, issuerKeySha256, serial))!;
    await assert.rejects(ca.database.commit((unit) => insertReservation(unit.queries, held)));
  });

  test('a process that ends between the commits leaves a reservation, which reconcile abandons and logs', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const broken = beforeSignature(ca.authorities, () => Promise.reject(new Error('the signer is gone')));
    await assert.rejects(issueCertificate({ ...ca, authorities: broken }, joinRequest(), now), /signer is gone/);
    assert.equal((await reconcileAuthorities(ca, now + MINUTE_MS)).abandoned, 0, 'not yet: it may still be signed');
    assert.equal((await reconcileAuthorities(ca, now + HOUR_MS)).abandoned, 1);
    assert.equal((await reconcileAuthorities(ca, now + HOUR_MS)).abandoned, 0);
    const [entry] = ca.entriesOf('certificate.abandoned');
    const [reserved] = ca.entriesOf('certificate.reserved');
    assert.equal(entry?.data['serial'], reserved?.data['serial']);
  });

  test('a signature that comes after its reservation was abandoned is given to nobody', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const slow = beforeSignature(ca.authorities, () => reconcileAuthorities(ca, now + HOUR_MS));
    await assert.rejects(issueCertificate({ ...ca, authorities: slow }, joinRequest(), now), refused);
    assert.deepEqual(ca.entriesOf('certificate.issued'), []);
  });

  test('a suspension answered while the signature is made withholds the certificate', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const racing = beforeSignature(ca.authorities, () =>
      suspendIdentity(ca, { spiffeId: orders, region: 'local', reason: 'stolen' }, ada, now),
    );
    await assert.rejects(issueCertificate({ ...ca, authorities: racing }, joinRequest(), now), refused);
    const [entry] = ca.entriesOf('certificate.withheld');
    const { issuerKeySha256, serial } = ca.entriesOf('certificate.reserved')[0]!.data as Record<string, string>;
    assert.equal(entry?.data['serial'], serial);
    assert.equal((await findCertificate(ca.database.queries, issuerKeySha256!, Buffer.from(serial!, 'hex')))?.status, 'withheld');
    assert.deepEqual(ca.entriesOf('certificate.issued'), []);
  });

  test('renewal keeps identity, names and proxy, whatever door it came by before', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const first = await issueCertificate(ca, joinRequest({ names: { dns: ['orders.internal'], ip: ['127.0.0.1'] } }), now);
    const second = await renewCertificate(ca, { predecessor: first, csr: newTestRequest().csr, by: HOLDER }, now + HOUR_MS);
    assert.equal(second.proxyId, first.proxyId);
    assert.equal(second.spiffeId, first.spiffeId);
    assert.notEqual(second.serialHex, first.serialHex);
    const held = await findCertificate(ca.database.queries, second.issuerKeySha256, second.serial);
    assert.equal(held?.door, 'renewal');
    assert.deepEqual(held.names, { dns: ['orders.internal'], ip: ['127.0.0.1'] });
  });

  test('renewal by token gives the same profile and names, to an asker who may have them', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const asker = { role: 'ci', scope: ['production'], spiffeId: null } as const;
    const order = {
      door: 'rest',
      profile: 'server',
      asker,
      actor: ada,
      spiffeId: null,
      proxyId: null,
      names: { dns: ['api.acme.example'], ip: [] },
    } as const;
    const predecessor = await issueCertificate(ca, joinRequest(order), now);
    const renew = (by: Asker) =>
      renewCertificate(ca, { predecessor, csr: newTestRequest().csr, by: { kind: 'token', asker: by, actor: ada } }, now);
    const { issuerKeySha256, serial } = await renew(asker);
    const held = await findCertificate(ca.database.queries, issuerKeySha256, serial);
    assert.deepEqual([held?.profile, held?.door, held?.names.dns], ['server', 'rest', ['api.acme.example']]);
    await assert.rejects(renew({ ...asker, role: 'viewer' }), refused);
    await assert.rejects(renew({ ...asker, scope: ['staging'] }), refused);
    const own = await renewCertificate(ca, { predecessor, csr: newTestRequest().csr, by: HOLDER }, now);
    assert.equal((await findCertificate(ca.database.queries, own.issuerKeySha256, own.serial))?.door, 'renewal', 'its holder may too');
  });

  test('certificates are listed newest first, page by page, within the environments of who asks', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const serials: string[] = [];
    for (const at of [now, now, now + 1, now + 2]) serials.push((await issueCertificate(ca, joinRequest(), at)).serialHex);
    const { queries } = ca.database;
    const page = await listCertificates(queries, { environments: ['production'], spiffeId: orders, limit: 3 });
    const last = page.at(-1)!;
    const rest = await listCertificates(queries, { environments: '*', before: last, limit: 3 });
    const listed = [...page, ...rest].map(({ serial }) => Buffer.from(serial).toString('hex'));
    assert.deepEqual(listed.slice(0, 2), serials.toReversed().slice(0, 2));
    assert.deepEqual(listed.toSorted(), serials.toSorted());
    await revokeCertificate(ca, { ...last, reason: 'superseded' }, ada, now);
    const count = async (filter: Partial<CertificateFilter>) =>
      (await listCertificates(queries, { environments: '*', limit: 9, ...filter })).length;
    assert.equal(await count({ status: 'revoked' }), 1);
    assert.equal(await count({ status: 'issued' }), 3);
    assert.equal(await count({ environments: ['staging'] }), 0);
    assert.equal(await count({ environments: [] }), 0);
    assert.equal(await count({ proxyId: 'proxy_none' }), 0);
    assert.equal((await findCertificatesBySerial(queries, last.serial)).length, 1);
    assert.equal((await findCertificatesBySerial(queries, new Uint8Array(17))).length, 0);
  });

  test('renewal is refused for a certificate that is revoked, expired, unknown, withheld, or of a suspended identity', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const renew = (predecessor: { issuerKeySha256: string; serial: Uint8Array }, at = now) =>
      renewCertificate(ca, { predecessor, csr: newTestRequest().csr, by: HOLDER }, at);
    const revoked = await issueCertificate(ca, joinRequest(), now);
    await revokeCertificate(ca, { ...revoked, reason: 'superseded' }, ada, now);
    await assert.rejects(renew(revoked), refused, 'revoked');
    const good = await issueCertificate(ca, joinRequest(), now);
    await assert.rejects(renew(good, good.notAfter + 1), refused, 'expired');
    await assert.rejects(renew({ ...good, serial: new Uint8Array(17) }), { code: 'not-found' }, 'unknown');
    await assert.rejects(renew({ ...good, issuerKeySha256: '0'.repeat(64) }), { code: 'not-found' }, 'of another issuer');
    await suspendIdentity(ca, { spiffeId: orders, region: 'local', reason: 'stolen' }, ada, now);
    await assert.rejects(renew(good), refused, 'suspended');
  });

  test('a predecessor revoked while its renewal is signed withholds the renewal', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const first = await issueCertificate(ca, joinRequest(), now);
    const racing = beforeSignature(ca.authorities, () => revokeCertificate(ca, { ...first, reason: 'keyCompromise' }, ada, now));
    const attempt = renewCertificate({ ...ca, authorities: racing }, { predecessor: first, csr: newTestRequest().csr, by: HOLDER }, now);
    await assert.rejects(attempt, refused);
    assert.equal(ca.entriesOf('certificate.withheld').length, 1);
    assert.equal(ca.entriesOf('certificate.issued').length, 1, 'the first alone');
  });

  test('revocations and renewals at once never end with a certificate given out after the revocation', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const held = await Promise.all(Array.from({ length: 8 }, () => issueCertificate(ca, joinRequest(), now)));
    const renewals = held.map((predecessor) => renewCertificate(ca, { predecessor, csr: newTestRequest().csr, by: HOLDER }, now));
    const revocations = held.map((certificate) => revokeCertificate(ca, { ...certificate, reason: 'superseded' }, ada, now));
    await Promise.allSettled([...renewals, ...revocations]);
    const log = ca.entries.map(({ type, data }) => ({ type, serial: data['serial'] }));
    for (const [index, renewal] of (await Promise.allSettled(renewals)).entries()) {
      const revokedAt = log.findIndex(({ type, serial }) => type === 'certificate.revoked' && serial === held[index]!.serialHex);
      assert.notEqual(revokedAt, -1);
      if (renewal.status === 'rejected') continue;
      const issuedAt = log.findIndex(({ type, serial }) => type === 'certificate.issued' && serial === renewal.value.serialHex);
      assert.ok(issuedAt < revokedAt, 'given out before the revocation');
    }
  });

  test('nothing is issued any more for a key that was revoked as compromised', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const { csr } = newTestRequest();
    const issued = await issueCertificate(ca, joinRequest({ csr }), now);
    await revokeCertificate(ca, { ...issued, reason: 'keyCompromise' }, ada, now);
    assert.equal(await isKeyCompromised(ca.database.queries, csr.spkiSha256), true);
    const from = ca.entries.length;
    await assert.rejects(issueCertificate(ca, joinRequest({ csr }), now), refused);
    assert.deepEqual(typesSince(ca, from), ['certificate.refused']);
    await issueCertificate(ca, joinRequest(), now);
  });

  test('every kind of authority key issues what verifies', async () => {
    for (const keyType of authorityKeyTypes) {
      await using ca = await openTestAuthorities(await newUrl(), now, { keyType });
      const issued = await issueCertificate(ca, joinRequest(), now);
      const [leaf, ...intermediates] = issued.chain.map((der) => parseCertificate(der));
      const verdict = verifyPath({ now, leaf: leaf!, intermediates, anchors: ca.authorities.roots, usage: 'server' });
      assert.equal(verdict.kind, 'valid', keyType);
    }
  });

  test('initializeAuthorities() refuses a second time, and keys of another key encryption key do not open', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const request = { trustDomain, ...place, keyType: 'P-256', crlBaseUrl: null } as const;
    const before = ca.entries.length;
    await assert.rejects(initializeAuthorities(ca, request, ada, now), { code: 'state-conflict' });
    assert.equal(ca.entries.length, before);
    assert.equal((await openAuthorities(ca)).issuing.length, 2);
    const { kek } = await openTestAuthorities(await newUrl(), now).then(async (other) => {
      await other[Symbol.asyncDispose]();
      return other;
    });
    await assert.rejects(openAuthorities({ database: ca.database, kek }), { code: 'key-locked' });
  });
});
