import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { basic, openEstLab } from '../../../test/support/est-lab.ts';
import { startTokenIssuer } from '../../../test/support/token-issuer.ts';
import { setIdentityProvider } from '../../control/access/set-identity-provider.ts';
import { HOUR_MS } from '../../core/time/instant.ts';
import { buildCertificateRequest } from '../../core/x509/certificate-request.ts';

const AUDIENCE = 'https://countersign.example';
const place = { environment: 'production', region: 'local' };
const ENROL = '/.well-known/est/simpleenroll';

const csr = (name = 'orders.example'): string =>
  Buffer.from(buildCertificateRequest({ dnsNames: [name] }, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)).toString(
    'base64',
  );

const rule = (name: string, repository: string, doors: readonly string[]) => ({
  name,
  match: { repository },
  doors,
  profiles: ['server'],
  dnsNames: ['orders.example'],
  maxLifetimeMs: HOUR_MS,
});

forEachDatabase('EST by tokens', (newUrl) => {
  test('the token of a trusted issuer buys by EST what its rule grants for this door, once', async () => {
    await using issuer = await startTokenIssuer();
    await using lab = await openEstLab(await newUrl());
    const rules = [rule('devices', 'acme/devices', ['est']), rule('deploy', 'acme/deploy', ['rest'])];
    const spec = { issuer: issuer.issuer, audience: AUDIENCE, anchorsPem: issuer.anchorsPem, rules };
    await setIdentityProvider(lab.ca, { ...place, name: 'ci', spec }, { kind: 'person', name: 'ada' }, lab.clock.now());
    const iat = Math.floor(lab.clock.now() / 1000);
    const tokenOf = (change: object = {}) =>
      issuer.sign({
        iss: issuer.issuer,
        aud: AUDIENCE,
        sub: 'device',
        jti: String(Math.random()),
        iat,
        exp: iat + 600,
        repository: 'acme/devices',
        ...change,
      });
    const enrol = (token: string, name?: string) => lab.call(ENROL, { body: csr(name), headers: basic(token) });
    const token = await tokenOf();
    assert.equal((await enrol(token)).status, 200);
    const issued = lab.ca.entriesOf('certificate.issued').at(-1);
    assert.deepEqual([issued?.data['door'], issued?.data['grant'], issued?.data['est']], ['est', 'ci/devices', '-']);
    assert.equal((await enrol(token)).status, 401, 'a second time');
    assert.equal((await enrol(await tokenOf(), 'pay.example')).status, 403, 'another name');
    assert.equal((await enrol(await tokenOf({ repository: 'acme/deploy' }))).status, 403, 'a rule of another door');
    assert.equal((await enrol(await tokenOf({ repository: 'acme/other' }))).status, 401, 'no rule');
    assert.equal((await enrol(await tokenOf({ aud: 'https://other.example' }))).status, 401, 'another audience');
    assert.equal((await enrol(await tokenOf({ exp: iat - 600, iat: iat - 1_200 }))).status, 401, 'expired');
    const refused = lab.logged.filter(({ event }) => event === 'machine-token.refused').map(({ fields }) => fields['reason']);
    assert.deepEqual(refused, ['replayed', 'no-rule', 'wrong-audience', 'expired']);
  });

  test('what waits is filed once, collected by the same request, and not by another', async () => {
    await using lab = await openEstLab(await newUrl(), {
      profiles: { slow: { base: 'server', askers: { est: {} }, approvals: { within: '1h' } } },
      est: { profile: 'slow' },
    });
    const token = await lab.tokenOf('ci');
    const enrol = (body: string) => lab.call(ENROL, { body, headers: basic(token) });
    const [one, other] = [csr(), csr()];
    const filed = lab.entry('issuance-request.filed');
    assert.equal((await enrol(one)).status, 202);
    const { data } = await filed;
    const both = await Promise.all([enrol(one), enrol(one)]);
    assert.deepEqual(
      both.map(({ status }) => status),
      [202, 202],
    );
    await lab.judge(String(data['requestId']), 'approve');
    const [first, again] = [await enrol(one), await enrol(one)];
    assert.deepEqual([first.status, again.text], [200, first.text]);
    assert.equal((await enrol(other)).status, 202);
    assert.equal(lab.ca.entriesOf('issuance-request.filed').length, 2);
    // Nobody approved in time: asked again, it is filed anew.
    lab.clock.advance(HOUR_MS + 1);
    const anew = lab.entry('issuance-request.filed');
    assert.equal((await enrol(other)).status, 202);
    assert.notEqual((await anew).data['requestId'], data['requestId']);
  });
});
