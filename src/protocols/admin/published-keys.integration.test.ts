import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { openAdminApi } from '../../../test/support/admin-api.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { place } from '../../../test/support/inventory.ts';
import { startTokenIssuer } from '../../../test/support/token-issuer.ts';
import { reconcileSettings } from '../../control/fleet/reconcile.ts';
import { listPublishedKeys } from '../../control/fleet/published-key-store.ts';
import { listSettings, readSettings } from '../../control/fleet/store.ts';
import { ProxySettingsSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { HOUR_MS, MINUTE_MS, SECOND_MS } from '../../core/time/instant.ts';
import { makeSignal } from '../../platform/clock/signal.ts';

const indented = (text: string): string => text.trim().replaceAll(/^/gm, '        ');

const documents = (uri: string, anchorsPem: string): string => `apiVersion: countersign/v1
kind: Service
name: orders
owner: commerce
---
apiVersion: countersign/v1
kind: Endpoint
name: orders-api
service: orders
protocol: http
addresses: ["127.0.0.1:8111"]
owner: commerce
policy: bound
allowedCallers: [orders]
---
apiVersion: countersign/v1
kind: Proxy
name: orders-1
service: orders
role: sidecar
inbound: [{ endpoint: orders-api, listen: "127.0.0.1:8111", upstream: "unix:/run/orders.sock" }]
---
${policy(uri, anchorsPem)}`;

const policy = (uri: string, anchorsPem: string): string => `apiVersion: countersign/v1
kind: Policy
name: bound
http:
  boundTokens:
    issuer: https://login.acme.example
    audiences: [https://orders.acme.example]
    jwksUri: ${uri}
    anchorsPem: |
${indented(anchorsPem)}
`;

forEachDatabase('keys of access tokens that an issuer publishes', (newUrl) => {
  async function open() {
    const issuer = await startTokenIssuer();
    const api = await openAdminApi(await newUrl());
    const { database, clock, publishedKeys } = api;
    const [admin, operator] = [await api.tokenOf('admin'), await api.tokenOf('operator')];
    const apply = (text: string, token = admin) => api.call({ method: 'POST', path: '/v1/declarations', token, body: { text } });
    const settings = async () => {
      const deps = { database, trustDomain: place.trustDomain, readLatched: async () => new Set<never>(), changed: makeSignal() };
      await reconcileSettings(deps, clock.now());
      const [{ proxyId } = assert.fail('no settings')] = await listSettings(database.queries, '*');
      return fromBinary(ProxySettingsSchema, (await readSettings(database.queries, proxyId))!.octets);
    };
    return {
      issuer,
      api,
      operator,
      apply,
      uri: `${issuer.issuer}/keys`,
      /** Names of the keys that the proxy has, and the generation of its settings. */
      async keysOfProxy() {
        const found = await settings();
        const keys = found.inbound[0]!.boundTokens!.keys.map((text) => (JSON.parse(text) as { readonly kid: string }).kid);
        return { keys, generation: Number(found.generation) };
      },
      async pass(ms: number) {
        clock.advance(ms);
        await publishedKeys.reconcile(clock.now());
      },
      async [Symbol.asyncDispose]() {
        await api[Symbol.asyncDispose]();
        await issuer[Symbol.asyncDispose]();
      },
    };
  }

  test('are with the proxies before the policy is in force, and follow what is published', async () => {
    await using lab = await open();
    const { issuer, api, uri } = lab;
    const applied = await lab.apply(documents(uri, issuer.anchorsPem));
    assert.equal(applied.status, 200, applied.text);
    assert.deepEqual(await lab.keysOfProxy(), { keys: ['first'], generation: 1 });
    await lab.pass(MINUTE_MS);
    assert.equal(issuer.state.asked, 1, 'fresh keys are not fetched');
    await lab.pass(10 * MINUTE_MS);
    assert.deepEqual(await lab.keysOfProxy(), { keys: ['first'], generation: 1 });
    await issuer.rotate('second');
    await lab.pass(10 * MINUTE_MS);
    assert.deepEqual(await lab.keysOfProxy(), { keys: ['second'], generation: 2 });
    const logged = api.entries.filter(({ type }) => type === 'token-keys.changed').map(({ data }) => [data['before'], data['after']]);
    assert.deepEqual(logged, [
      [[], ['first']],
      [['first'], ['second']],
    ]);
  });

  test('stay while the issuer is away or publishes nothing usable, which is asked again at bounded times', async () => {
    await using lab = await open();
    const { issuer, api, uri } = lab;
    await lab.apply(documents(uri, issuer.anchorsPem));
    issuer.state.isDown = true;
    await lab.pass(48 * HOUR_MS);
    const asked = issuer.state.asked;
    await lab.pass(SECOND_MS);
    await lab.pass(SECOND_MS);
    assert.equal(issuer.state.asked, asked);
    issuer.state.isDown = false;
    issuer.state.keys = [{ kty: 'oct', k: 'AAAA' }];
    await lab.pass(30 * SECOND_MS);
    assert.deepEqual(await lab.keysOfProxy(), { keys: ['first'], generation: 1 });
    const faults = api.logged.filter(({ event }) => event === 'token-keys.not-fetched').map(({ fields }) => String(fields['detail']));
    assert.equal(faults.length, 2);
    assert.match(faults[0]!, /^status 503$/);
    assert.match(faults[1]!, /no usable key/);
  });

  test('that cannot be had refuse the policy, and nothing is declared', async () => {
    await using lab = await open();
    const { issuer, uri } = lab;
    const refused = async (text: string, detail: RegExp): Promise<void> => {
      const answer = await lab.apply(text);
      assert.equal(answer.status, 400, answer.text);
      assert.match(answer.text, detail);
    };
    await refused(documents(uri.replace('/keys', '/.well-known/openid-configuration'), issuer.anchorsPem), /no list of at most 100 keys/);
    await refused(documents(uri, (await startOther()).anchorsPem), /jwksUri/);
    await refused(documents('https://169.254.169.254/keys', issuer.anchorsPem), /policy/);
    issuer.state.isDown = true;
    await refused(documents(uri, issuer.anchorsPem), /status 503/);
    assert.equal(
      (await lab.api.call({ method: 'GET', path: '/v1/services', token: await lab.api.tokenOf('viewer') })).json.items.length,
      0,
    );
  });

  test('are fetched from where an admin said, and an operator may use what is known', async () => {
    await using lab = await open();
    const { issuer, operator, uri } = lab;
    const refused = await lab.apply(documents(uri, issuer.anchorsPem), operator);
    assert.equal(refused.status, 403, refused.text);
    assert.equal(issuer.state.asked, 0, 'nobody was asked');
    assert.equal((await lab.apply(documents(uri, issuer.anchorsPem))).status, 200);
    assert.equal((await lab.apply(documents(uri, issuer.anchorsPem), operator)).status, 200);
  });

  test('of more than ten new places at a time are fetched from none', async () => {
    await using lab = await open();
    const { issuer, uri } = lab;
    const many = Array.from({ length: 11 }, (_none, at) =>
      policy(`${uri}/${at}`, issuer.anchorsPem).replace('name: bound', `name: bound-${at}`),
    );
    const refused = await lab.apply(many.join('---\n'));
    assert.equal(refused.status, 400, refused.text);
    assert.match(refused.text, /11 new ones, expected at most 10/);
    assert.equal(issuer.state.asked, 0);
    const applied = await lab.apply(many.slice(1).join('---\n'));
    assert.equal(applied.status, 200, applied.text);
    assert.equal(issuer.state.asked, 10);
  });

  test('that no policy wants any more are forgotten', async () => {
    await using lab = await open();
    const { issuer, uri } = lab;
    await lab.apply(documents(uri, issuer.anchorsPem));
    const moved = await lab.apply(policy(`${issuer.issuer}/other`, issuer.anchorsPem));
    assert.equal(moved.status, 200, moved.text);
    await lab.pass(HOUR_MS);
    assert.deepEqual(
      (await listPublishedKeys(lab.api.database.queries)).map(({ uri: held }) => held),
      [`${issuer.issuer}/other`],
    );
  });
});

async function startOther() {
  await using other = await startTokenIssuer();
  return { anchorsPem: other.anchorsPem };
}
