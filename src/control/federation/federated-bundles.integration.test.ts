import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { openTestAuthorities, place, type TestAuthorities } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { makeTestAuthority, type TestAuthority, type TestCredential } from '../../../test/support/test-authority.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { parseTrustDomain } from '../../core/identity/trust-domain.ts';
import { encodeBundleDocument } from '../../core/spiffe/bundle-document.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../../core/time/instant.ts';
import type { Certificate } from '../../core/x509/certificate.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import { fetchOutside } from '../../platform/network/fetch-outside.ts';
import { makeNameResolver } from '../../platform/network/name-resolver.ts';
import { parseOutsidePolicy } from '../../platform/network/outside-policy.ts';
import { deleteFederatedDomain, upsertFederatedDomain } from '../inventory/federated-domain-store.ts';
import type { FederatedDomainRecord } from '../inventory/record.ts';
import { listFederatedBundles } from './bundle-store.ts';
import { FederatedBundles } from './federated-bundles.ts';

const NOW = Date.now();
const partner = parseTrustDomain('partner.example');
const endpointId = parseSpiffeId('spiffe://partner.example/bundle-endpoint');
const [theirs, later, web] = ['Partner', 'Partner Two', 'Web'].map((name) => makeTestAuthority(NOW, name)) as [
  TestAuthority,
  TestAuthority,
  TestAuthority,
];
const webCredential = web.issue({ ips: ['127.0.0.1'], usages: ['server'] });
const svid = (authority: TestAuthority, ...uris: string[]): TestCredential =>
  authority.issue({ uris: uris.length === 0 ? [endpointId] : uris, notAfter: NOW + 30 * DAY_MS });

function published(sequence: number | null, authorities: readonly Certificate[], hintMs: number | null = 60_000): string {
  const text = encodeBundleDocument({
    sequence: sequence ?? 0,
    refreshHintMs: hintMs ?? 0,
    authorities: authorities.map(({ der }) => der),
  });
  const { spiffe_sequence: number, spiffe_refresh_hint: hint, keys } = JSON.parse(text);
  return JSON.stringify({
    keys,
    ...(sequence === null ? {} : { spiffe_sequence: number }),
    ...(hintMs === null ? {} : { spiffe_refresh_hint: hint }),
  });
}

const webEndpoint = { kind: 'https_web', anchorsPem: encodePem('CERTIFICATE', web.root.der) } as const;
const spiffeEndpoint = { kind: 'https_spiffe', spiffeId: endpointId, bundle: published(1, [theirs.root]) } as const;

const options = ({ chain, key }: TestCredential) => ({
  cert: chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
  key: key.export({ type: 'pkcs8', format: 'pem' }),
});

/** A bundle endpoint of the partner that answers what the test wants, and our side of it. */
async function openLab(url: string, endpoint: FederatedDomainRecord['endpoint'], credential: TestCredential) {
  const lab: TestAuthorities = await openTestAuthorities(url, NOW);
  const served = { credential, answer: ((_request, response) => void response.end(published(1, [theirs.root]))) as RequestListener };
  const server = createServer(options(credential), (request, response) => served.answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const domain: FederatedDomainRecord = {
    id: newEntityId('domain', NOW),
    ...place,
    name: 'partner',
    trustDomain: partner,
    url: `https://127.0.0.1:${port}/`,
    endpoint,
  };
  const logged: { readonly event: string; readonly fields: object | undefined }[] = [];
  let told = 0;
  lab.changed.subscribe(() => void told++);
  const policy = parseOutsidePolicy(['127.0.0.0/8'], () => []);
  const bundles = new FederatedBundles({
    database: lab.database,
    fetch: (request) => fetchOutside({ resolver: makeNameResolver([]), policy }, request),
    changed: lab.changed,
    log: (_level, event, fields) => void logged.push({ event, fields }),
    random: () => 0,
  });
  const declare = (next: FederatedDomainRecord) => lab.database.commit((unit) => upsertFederatedDomain(unit.queries, next));
  await declare(domain);
  return {
    ...lab,
    domain,
    declare,
    logged,
    told: () => told,
    withdraw: () => lab.database.commit((unit) => deleteFederatedDomain(unit.queries, domain.id)),
    serve: (text: string) => (served.answer = (_request, response) => void response.end(text)),
    answer: (listener: RequestListener) => (served.answer = listener),
    present: (next: TestCredential) => server.setSecureContext(options(next)),
    reconcile: (at: number) => bundles.reconcile(at),
    held: async () => (await listFederatedBundles(lab.database.queries))[0] ?? null,
    keys: async () =>
      (await listFederatedBundles(lab.database.queries)).flatMap(({ authorities }) => authorities.map(({ spkiSha256 }) => spkiSha256)),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await lab[Symbol.asyncDispose]();
    },
  };
}

forEachDatabase('bundles of other trust domains', (newUrl) => {
  test('by https_web: nothing is trusted before the first fetch, and each change is logged once', async () => {
    await using lab = await openLab(await newUrl(), webEndpoint, webCredential);
    lab.answer((_request, response) => void response.writeHead(503).end());
    await lab.reconcile(NOW);
    assert.deepEqual(await lab.keys(), []);
    assert.match((await lab.held())!.fault!, /status 503/);
    lab.serve(published(7, [theirs.root]));
    await lab.reconcile(NOW + 30 * SECOND_MS);
    assert.deepEqual(await lab.keys(), [theirs.root.spkiSha256]);
    await lab.reconcile(NOW + 90 * SECOND_MS);
    lab.serve(published(8, [theirs.root, later.root]));
    await lab.reconcile(NOW + 150 * SECOND_MS);
    const held = (await lab.held())!;
    assert.equal(held.sequence, 8);
    assert.equal(held.fault, null);
    assert.equal(held.fetchedAt, NOW + 150 * SECOND_MS);
    const entries = lab.entriesOf('federated-bundle.changed').map(({ data }) => data as { readonly by: string; readonly after: any });
    assert.deepEqual(
      entries.map(({ by, after }) => [by, after.sequence]),
      [
        ['declaration', null],
        ['endpoint', 7],
        ['endpoint', 8],
      ],
    );
    assert.ok(lab.told() >= 2);
  });

  test('by https_spiffe: the bundle that was fetched verifies the next fetch', async () => {
    await using lab = await openLab(await newUrl(), spiffeEndpoint, svid(theirs));
    lab.serve(published(2, [theirs.root, later.root]));
    await lab.reconcile(NOW);
    assert.equal((await lab.held())!.sequence, 2);
    lab.present(svid(later));
    lab.serve(published(3, [later.root]));
    await lab.reconcile(NOW + MINUTE_MS);
    assert.deepEqual(await lab.keys(), [later.root.spkiSha256]);
    // The authority of the declaration is gone from the bundle, and so proves nothing any more.
    lab.present(svid(theirs));
    lab.serve(published(4, [theirs.root]));
    await lab.reconcile(NOW + 2 * MINUTE_MS);
    assert.deepEqual(await lab.keys(), [later.root.spkiSha256]);
    assert.match((await lab.held())!.fault!, /unknown-authority/);
  });

  test('an empty bundle revokes all, and no older one comes back', async () => {
    await using lab = await openLab(await newUrl(), spiffeEndpoint, svid(theirs));
    await lab.reconcile(NOW);
    lab.serve(published(5, []));
    await lab.reconcile(NOW + MINUTE_MS);
    assert.deepEqual(await lab.keys(), []);
    assert.equal((await lab.held())!.sequence, 5);
    lab.serve(published(1, [theirs.root]));
    await lab.reconcile(NOW + HOUR_MS);
    assert.deepEqual(await lab.keys(), [], 'nobody can prove to be the endpoint');
    await lab.declare({ ...lab.domain, endpoint: { ...spiffeEndpoint, bundle: published(6, [later.root]) } });
    await lab.reconcile(NOW + HOUR_MS);
    assert.deepEqual(await lab.keys(), [later.root.spkiSha256], 'but for the operator, who says it anew');
  });

  test('a domain that is withdrawn is forgotten at once', async () => {
    await using lab = await openLab(await newUrl(), spiffeEndpoint, svid(theirs));
    await lab.reconcile(NOW);
    await lab.withdraw();
    await lab.reconcile(NOW + 1);
    assert.equal(await lab.held(), null);
  });

  test('what was fetched by a declaration that changed meanwhile is not taken, whatever changed in it', async () => {
    const mallory = parseSpiffeId('spiffe://partner.example/mallory');
    const cases: readonly (readonly [FederatedDomainRecord['endpoint'], TestCredential, Partial<FederatedDomainRecord> | null])[] = [
      [webEndpoint, webCredential, { url: 'https://127.0.0.2:9/moved' }],
      [webEndpoint, webCredential, { endpoint: { kind: 'https_web', anchorsPem: encodePem('CERTIFICATE', later.root.der) } }],
      [webEndpoint, webCredential, { endpoint: spiffeEndpoint }],
      [spiffeEndpoint, svid(theirs), { endpoint: { ...spiffeEndpoint, spiffeId: mallory } }],
      [spiffeEndpoint, svid(theirs), { endpoint: webEndpoint }],
      [spiffeEndpoint, svid(theirs), null],
    ];
    for (const [endpoint, credential, change] of cases) {
      await using lab = await openLab(await newUrl(), endpoint, credential);
      let asked = 0;
      lab.answer((_request, response) => {
        asked += 1;
        const changed = change === null ? lab.withdraw() : lab.declare({ ...lab.domain, ...change });
        void changed.then(() => response.end(published(2, [later.root])));
      });
      await lab.reconcile(NOW);
      const name = JSON.stringify(change);
      assert.equal(asked, 1, name);
      const held = (await lab.held())!;
      assert.deepEqual([held.fetchedAt, held.dueAt, held.fault], [null, NOW, null], name);
      assert.ok(!(await lab.keys()).includes(later.root.spkiSha256), name);
      // By the declaration as it was, the same answer counts.
      await lab.declare(lab.domain);
      lab.serve(published(2, [later.root]));
      await lab.reconcile(NOW);
      assert.deepEqual(await lab.keys(), [later.root.spkiSha256], name);
    }
  });

  test('what cannot be is refused, logged once, and leaves what was good in force', async () => {
    await using lab = await openLab(await newUrl(), spiffeEndpoint, svid(theirs));
    const ownRoot = lab.authorities.roots[0]!;
    lab.serve(published(10, [theirs.root]));
    await lab.reconcile(NOW);
    const good = await lab.keys();
    const refusals: readonly (readonly [string, RegExp])[] = [
      [published(9, [theirs.root, later.root]), /sequence falls from 10 to 9/],
      [published(0, [theirs.root]), /sequence falls from 10 to 0/],
      [published(10, [theirs.root, later.root]), /sequence is 10 as before/],
      [published(10, []), /sequence is 10 as before/],
      [published(null, [theirs.root]), /no sequence, and had 10/],
      [published(11, [theirs.root, ownRoot]), /one of acme\.example/],
    ];
    let at = NOW + MINUTE_MS;
    for (const [text, reason] of refusals) {
      lab.serve(text);
      for (const again of [at, at + DAY_MS]) await lab.reconcile(again);
      const held = (await lab.held())!;
      assert.match(held.fault!, reason);
      assert.equal(held.sequence, 10);
      assert.deepEqual(await lab.keys(), good);
      at += 2 * DAY_MS;
    }
    assert.equal(lab.entriesOf('federated-bundle.refused').length, 5, 'one for each reason');
    assert.equal(lab.logged.filter(({ event }) => event === 'federated-bundle.refused').length, 2 * refusals.length);
  });

  test('an authority of one federated domain is refused in the bundle of another', async () => {
    await using lab = await openLab(await newUrl(), spiffeEndpoint, svid(theirs));
    await lab.reconcile(NOW);
    const other = parseTrustDomain('other.example');
    const crossed = { ...spiffeEndpoint, spiffeId: parseSpiffeId('spiffe://other.example/e') };
    await lab.declare({ ...lab.domain, id: newEntityId('domain', NOW + 1), name: 'other', trustDomain: other, endpoint: crossed });
    await lab.reconcile(NOW + 1);
    const bundles = await listFederatedBundles(lab.database.queries);
    const [of, by] = [
      bundles.find(({ trustDomain }) => trustDomain === other)!,
      bundles.find(({ trustDomain }) => trustDomain === partner)!,
    ];
    assert.deepEqual(of.authorities, []);
    assert.match(of.fault!, /one of partner\.example|unknown-authority/);
    assert.equal(by.authorities.length, 1);
  });

  test('is asked again when its hint says, within bounds, and sooner after a failure', async () => {
    await using lab = await openLab(await newUrl(), webEndpoint, webCredential);
    const waits: readonly (readonly [number | null, number])[] = [
      [60_000, MINUTE_MS],
      [0, 10 * SECOND_MS],
      [null, 5 * MINUTE_MS],
      [90 * DAY_MS, DAY_MS],
    ];
    let at = NOW;
    for (const [index, [hint, wait]] of waits.entries()) {
      lab.serve(published(index + 1, [theirs.root], hint));
      await lab.reconcile(at);
      const { dueAt } = (await lab.held())!;
      assert.equal(dueAt - at, wait);
      at = dueAt;
    }
    lab.answer(({ socket }) => void socket.destroy());
    await lab.reconcile(at - 1);
    assert.equal((await lab.held())!.fault, null, 'it was not due');
    await lab.reconcile(at);
    assert.equal((await lab.held())!.dueAt - at, 30 * SECOND_MS);
  });
});
