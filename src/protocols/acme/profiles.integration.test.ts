import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { makeAcmeClient, newKey } from '../../../test/support/acme-client.ts';
import { obtain, proveAll } from '../../../test/support/acme-flow.ts';
import { type AcmeLab, openAcmeLab } from '../../../test/support/acme-lab.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { builtInProfiles, overlayProfiles, type ProfileBook } from '../../control/policies/declared-profiles.ts';
import { parseProfileSpec } from '../../core/issuance/parse-profile-spec.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import { DAY_MS } from '../../core/time/instant.ts';

const URN = 'urn:ietf:params:acme:error:';

function bookOf(declared: { readonly [name: string]: object }, environment = 'production'): ProfileBook {
  const specs = Object.entries(declared).map(([name, spec]) => ({ environment, name: name as ProfileName, spec: parseProfileSpec(spec) }));
  return overlayProfiles(builtInProfiles, specs);
}

async function clientOf(lab: AcmeLab) {
  const client = await makeAcmeClient(lab.base, lab.rootFile);
  await client.register();
  return client;
}

const profilesIn = async (lab: AcmeLab): Promise<readonly string[]> =>
  Object.keys((await (await makeAcmeClient(lab.base, lab.rootFile)).send('GET', lab.directoryUrl, null)).json.meta.profiles);

forEachDatabase('declared profiles by ACME', (newUrl) => {
  test('the directory lists what is open by this door in its environment, and an order by its name gets it', async () => {
    const profiles = bookOf({
      edge: { base: 'server', cadence: 'critical', lifetime: { usual: '30d' }, names: { dns: ['a.localhost'] }, askers: { acme: {} } },
      inner: { base: 'server', askers: { rest: {} } },
      mesh: { base: 'workload' },
      approved: { base: 'server', askers: { rest: {} }, approvals: {} },
    });
    await using lab = await openAcmeLab(await newUrl(), { profiles });
    assert.deepEqual(await profilesIn(lab), ['server', 'shortlived', 'edge']);
    const client = await clientOf(lab);
    const issued = await obtain(lab, client, ['a.localhost'], { more: { profile: 'edge' } });
    assert.equal(issued.json.profile, 'edge');
    const leaf = new X509Certificate((await client.post(issued.json.certificate, null)).text);
    assert.ok(Math.abs(Date.parse(leaf.validTo) - lab.clock.now() - 30 * DAY_MS) < 5_000);
    for (const profile of ['inner', 'mesh', 'approved', 'workload', 'server-shortlived', 'none', '', '__proto__']) {
      assert.equal((await client.order(['a.localhost'], { profile })).json.type, `${URN}invalidProfile`, profile);
    }
    const order = await client.order(['b.localhost'], { profile: 'edge' });
    await proveAll(lab, client, order);
    const reply = await client.post(order.json.finalize, { csr: client.csr({ dnsNames: ['b.localhost'] }) });
    assert.equal(reply.json.type, `${URN}unauthorized`, 'proved, but not permitted by the profile');
    assert.match(reply.json.detail, /b\.localhost is not permitted/);
    const again = await client.order(['a.localhost'], { profile: 'edge' });
    const fitting = { csr: client.csr({ dnsNames: ['a.localhost'] }, newKey()) };
    assert.equal((await client.post(again.json.finalize, fitting)).status, 200);
  });

  test('a profile that takes the place of the usual one rules orders that name none, and may shut the door', async () => {
    await using narrowed = await openAcmeLab(await newUrl(), {
      profiles: bookOf({ server: { base: 'server', keys: { curves: ['P-384'], ed25519: false, rsa: false } } }),
    });
    const client = await clientOf(narrowed);
    const order = await client.order(['a.localhost']);
    await proveAll(narrowed, client, order);
    const reply = await client.post(order.json.finalize, { csr: client.csr({ dnsNames: ['a.localhost'] }) });
    assert.equal(reply.json.type, `${URN}badCSR`, reply.text);
    assert.equal((await client.post(String(order.headers['location']), null)).json.status, 'ready');
    await using shut = await openAcmeLab(await newUrl(), { profiles: bookOf({ server: { base: 'server', askers: { rest: {} } } }) });
    assert.deepEqual(await profilesIn(shut), ['shortlived']);
    assert.equal((await (await clientOf(shut)).order(['a.localhost'])).json.type, `${URN}invalidProfile`);
    await using elsewhere = await openAcmeLab(await newUrl(), { profiles: bookOf({ edge: { base: 'server' } }, 'stage') });
    assert.deepEqual(await profilesIn(elsewhere), ['server', 'shortlived'], 'another environment');
  });
});
