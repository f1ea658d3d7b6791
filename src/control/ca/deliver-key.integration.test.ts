import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPublicKey } from 'node:crypto';
import { ada, newTestRequest, openTestAuthorities, orders, place, type TestAuthorities } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { parseProfileSpec } from '../../core/issuance/parse-profile-spec.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import { SECOND_MS } from '../../core/time/instant.ts';
import { builtInProfiles, overlayProfiles } from '../policies/declared-profiles.ts';
import { KeyDeliveries } from './deliver-key.ts';
import { issueCertificate } from './issue-certificate.ts';
import type { IssuedCertificate } from './issuance-request.ts';
import { revokeCertificate } from './revoke-certificate.ts';
import { suspendIdentity } from './suspend-identity.ts';

const now = 1_800_000_000_000;
const DELIVERED = 'delivered' as ProfileName;
const OWN = 'own-keys' as ProfileName;

/** A CA whose profile `delivered` hands keys out, and a certificate of each of the two profiles. */
async function openDelivering(url: string) {
  const ca = await openTestAuthorities(url, now);
  const base = { base: 'workload', askers: { rest: { roles: ['operator'] }, renewal: { roles: ['holder'] } } };
  const profiles = overlayProfiles(builtInProfiles, [
    { environment: place.environment, name: DELIVERED, spec: parseProfileSpec({ ...base, remoteKeys: true }) },
    { environment: place.environment, name: OWN, spec: parseProfileSpec(base) },
  ]);
  const deps = { database: ca.database, authorities: { ...ca.authorities, profiles } };
  const issue = (profile: ProfileName): Promise<IssuedCertificate> =>
    issueCertificate(
      deps,
      {
        door: 'rest',
        profile,
        asker: { role: 'operator', scope: [place.environment], spiffeId: null },
        actor: ada,
        csr: newTestRequest().csr,
        spiffeId: orders,
        names: { dns: [], ip: [] },
        proxyId: null,
        ...place,
      },
      now,
    );
  return { ca, deliveries: new KeyDeliveries(deps), shown: await issue(DELIVERED), own: await issue(OWN) };
}

const rowsOfKeys = async ({ database }: TestAuthorities): Promise<number> =>
  (await database.queries.withTables<{ keys: { id: string } }>().selectFrom('keys').select('id').execute()).length;

forEachDatabase('keys that are handed out', (newUrl) => {
  test('come with a certificate of the same identity, are logged and stand nowhere', async () => {
    const { ca, deliveries, shown } = await openDelivering(await newUrl());
    await using _ca = ca;
    const stored = await rowsOfKeys(ca);
    const made = await deliveries.deliver(shown, now);
    assert.ok(made !== null);
    assert.deepEqual([made.issued.spiffeId, made.issued.proxyId], [orders, null]);
    const spki = createPublicKey(made.privateKey).export({ type: 'spki', format: 'der' });
    assert.ok(Buffer.from(made.issued.der).includes(spki), 'the certificate is for the key');
    assert.equal(await rowsOfKeys(ca), stored);
    const [entry] = ca.entriesOf('key.delivered');
    assert.deepEqual(entry?.actor, { kind: 'machine', name: orders });
    assert.ok(JSON.stringify(entry).includes(made.issued.serialHex));
    assert.ok(!JSON.stringify(ca.entries).includes('PRIVATE'));
  });

  test('are for who shows a certificate of a profile that says so, that stands, and once in a while', async () => {
    const { ca, deliveries, shown, own } = await openDelivering(await newUrl());
    await using _ca = ca;
    assert.equal(await deliveries.deliver(own, now), null, 'its profile does not say so');
    assert.equal(await deliveries.deliver({ ...shown, serial: Buffer.from('0102', 'hex') }, now), null, 'nobody issued it');
    assert.ok((await deliveries.deliver(shown, now)) !== null);
    await assert.rejects(deliveries.deliver(shown, now + SECOND_MS), { code: 'rate-limited' });
    await suspendIdentity(ca, { spiffeId: orders, region: place.region, reason: 'stolen' }, ada, now);
    await assert.rejects(deliveries.deliver(shown, now + 10 * SECOND_MS), { code: 'issuance-refused' });
    assert.equal(ca.entriesOf('key.delivered').length, 1);
  });

  test('stop with the certificate that was shown', async () => {
    const { ca, deliveries, shown } = await openDelivering(await newUrl());
    await using _ca = ca;
    await revokeCertificate(ca, { ...shown, reason: 'keyCompromise' }, ada, now);
    await assert.rejects(deliveries.deliver(shown, now), { code: 'issuance-refused' });
    assert.equal(ca.entriesOf('key.delivered').length, 0);
  });
});
