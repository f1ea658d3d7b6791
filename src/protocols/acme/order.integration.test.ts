import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { jwkOf, makeAcmeClient, newKey, signJws } from '../../../test/support/acme-client.ts';
import { challengeOf, obtain, proveAll, settled } from '../../../test/support/acme-flow.ts';
import { openAcmeLab } from '../../../test/support/acme-lab.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { DAY_MS, HOUR_MS } from '../../core/time/instant.ts';
import { findAccount } from './account-store.ts';

const URN = 'urn:ietf:params:acme:error:';

forEachDatabase('ACME orders', (newUrl) => {
  test('an account orders, proves by http-01, finalizes and downloads a chain that verifies', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    assert.equal((await client.register({ contact: ['mailto:ops@acme.example'] })).status, 201);
    const order = await obtain(lab, client, ['b.localhost', 'a.localhost']);
    const chain = await client.post(order.json.certificate, null);
    assert.equal(chain.headers['content-type'], 'application/pem-certificate-chain');
    const [leaf, issuing, ...rest] = chain.text.split(/(?<=-----END CERTIFICATE-----\n)/).filter(Boolean);
    assert.deepEqual(rest, [], 'the root is left out');
    const certificate = new X509Certificate(leaf!);
    assert.equal(certificate.subjectAltName, 'DNS:a.localhost, DNS:b.localhost');
    assert.equal(certificate.checkIssued(new X509Certificate(issuing!)), true);
    assert.equal(certificate.verify(new X509Certificate(issuing!).publicKey), true);
    assert.deepEqual(
      lab.ca.entries.map(({ type }) => type).filter((type) => type.startsWith('acme-')),
      ['acme-account.created', 'acme-authorization.validated', 'acme-authorization.validated'],
    );
    assert.equal(lab.ca.entriesOf('certificate.reserved').at(-1)!.data['door'], 'acme');
  });

  test('two finalizes at once give one certificate, the other is told orderNotReady', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    await client.register();
    const order = await client.order(['a.localhost']);
    await proveAll(lab, client, order);
    const finalize = () => client.post(order.json.finalize, { csr: client.csr({ dnsNames: ['a.localhost'] }) });
    const before = lab.ca.entriesOf('certificate.issued').length;
    const replies = await Promise.all([finalize(), finalize(), finalize()]);
    assert.deepEqual(replies.map(({ status }) => status).toSorted(), [200, 403, 403]);
    for (const { status, json } of replies) if (status === 403) assert.equal(json.type, `${URN}orderNotReady`);
    assert.equal(lab.ca.entriesOf('certificate.issued').length, before + 1);
  });

  test('two challenge posts at once start one validation', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    await client.register();
    const order = await client.order(['a.localhost']);
    const authorization = await client.post(order.json.authorizations[0], null);
    const http = challengeOf(authorization.json, 'http-01');
    lab.answers.set(`/.well-known/acme-challenge/${http.token}`, `${http.token}.${client.thumbprint()} \r\n`);
    const dns = challengeOf(authorization.json, 'dns-01');
    const asked = await client.post(http.url, null);
    assert.ok(String(asked.headers['link']).includes(`<${order.json.authorizations[0]}>;rel="up"`));
    const replies = await Promise.all([client.post(http.url, {}), client.post(http.url, {}), client.post(http.url, {})]);
    assert.deepEqual(
      replies.map(({ status }) => status),
      [200, 200, 200],
    );
    assert.equal((await settled(client, order.json.authorizations[0])).status, 'valid');
    assert.equal(lab.asked.length, 1);
    assert.equal((await client.post(http.url, {})).json.status, 'valid', 'again, when all is done');
    assert.equal((await client.post(dns.url, {})).json.status, 'pending', 'another one starts nothing');
    assert.equal(lab.ca.entriesOf('acme-authorization.validated').length, 1);
  });

  test('a failed validation makes authorization and order invalid, and says for which name', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    await client.register();
    const order = await client.order(['a.localhost', 'b.localhost']);
    const [first] = order.json.authorizations as string[];
    const challenge = challengeOf((await client.post(first!, null)).json, 'http-01');
    lab.answers.set(`/.well-known/acme-challenge/${challenge.token}`, 'something else');
    await client.post(challenge.url, {});
    const authorization = await settled(client, first!);
    assert.equal(authorization.status, 'invalid');
    assert.deepEqual(
      authorization.challenges.map(({ status }: { status: string }) => status),
      ['invalid'],
    );
    assert.equal(authorization.challenges[0].error.type, `${URN}incorrectResponse`);
    const { json } = await client.post(String(order.headers['location']), null);
    assert.equal(json.status, 'invalid');
    assert.deepEqual(
      json.error.subproblems.map(({ identifier }: any) => identifier.value),
      ['a.localhost'],
    );
    assert.equal((await client.post(order.json.finalize, { csr: client.csr({ dnsNames: ['a.localhost', 'b.localhost'] }) })).status, 403);
  });

  test('a CSR that does not fit is refused and leaves the order ready', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    await client.register();
    const order = await client.order(['a.localhost', 'b.localhost']);
    const early = await client.post(order.json.finalize, { csr: client.csr({ dnsNames: ['a.localhost', 'b.localhost'] }) });
    assert.equal(early.json.type, `${URN}orderNotReady`);
    await proveAll(lab, client, order);
    const names = ['a.localhost', 'b.localhost'];
    const good = client.csr({ dnsNames: names });
    const cases: readonly (readonly [string, unknown, string])[] = [
      ['nothing', {}, 'malformed'],
      ['a number', { csr: 1 }, 'malformed'],
      ['padding', { csr: `${good}=` }, 'malformed'],
      ['rubbish', { csr: 'AAAA' }, 'badCSR'],
      ['a broken signature', { csr: `${good.slice(0, -8)}AAAAAAAA` }, 'badCSR'],
      ['no name', { csr: client.csr({}) }, 'badCSR'],
      ['too few names', { csr: client.csr({ dnsNames: ['a.localhost'] }) }, 'badCSR'],
      ['too many names', { csr: client.csr({ dnsNames: [...names, 'c.localhost'] }) }, 'badCSR'],
      ['an address besides', { csr: client.csr({ dnsNames: names, ipAddresses: ['127.0.0.1'] }) }, 'badCSR'],
      ['an identity besides', { csr: client.csr({ dnsNames: names, uris: ['spiffe://acme.example/production/orders'] }) }, 'badCSR'],
      ['a foreign common name', { csr: client.csr({ dnsNames: names, subjectCommonName: 'c.localhost' }) }, 'badCSR'],
      ["the account's key", { csr: client.csr({ dnsNames: names }, client.key()) }, 'badCSR'],
    ];
    for (const [name, payload, type] of cases) {
      const reply = await client.post(order.json.finalize, payload);
      assert.equal(reply.json.type, `${URN}${type}`, `${name}: ${reply.text}`);
      assert.equal((await client.post(String(order.headers['location']), null)).json.status, 'ready', name);
    }
    assert.equal(
      (await client.post(order.json.finalize, { csr: client.csr({ dnsNames: names, subjectCommonName: 'A.localhost' }) })).status,
      200,
    );
  });

  test('what is one account’s is nobody else’s, whatever he asks', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const [owner, other] = [await makeAcmeClient(lab.base, lab.rootFile), await makeAcmeClient(lab.base, lab.rootFile)];
    await owner.register();
    await other.register();
    const order = await obtain(lab, owner, ['a.localhost']);
    const challenge = challengeOf((await owner.post(order.json.authorizations[0], null)).json, 'http-01');
    const urls = [order.url, order.json.authorizations[0], challenge.url, order.json.certificate, `${owner.kid()}/orders`, owner.kid()];
    for (const url of urls) assert.equal((await other.post(url, null)).status, 404, url);
    assert.equal((await other.post(order.json.finalize, { csr: owner.csr({ dnsNames: ['a.localhost'] }) })).status, 404);
    assert.equal((await other.post(order.json.authorizations[0], { status: 'deactivated' })).status, 404);
    assert.equal((await other.post(owner.kid(), { status: 'deactivated' })).status, 404);
    assert.equal((await owner.post(owner.kid(), null)).json.status, 'valid');
  });

  test('what was proved lately is not asked again, until it is old or deactivated', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    await client.register();
    const first = await obtain(lab, client, ['a.localhost']);
    const again = await client.order(['a.localhost', 'b.localhost']);
    assert.equal(again.json.authorizations.includes(first.json.authorizations[0]), true);
    assert.equal((await client.order(['a.localhost'])).json.status, 'ready');
    assert.equal((await client.post(first.json.authorizations[0], { status: 'deactivated' })).json.status, 'deactivated');
    assert.equal((await client.post(first.json.authorizations[0], { status: 'deactivated' })).status, 400);
    assert.equal((await client.order(['a.localhost'])).json.status, 'pending');
    assert.equal((await client.post(String(again.headers['location']), null)).json.status, 'invalid', 'an order falls with it');
    const last = await obtain(lab, client, ['b.localhost']);
    lab.clock.advance(9 * HOUR_MS);
    client.nonces.splice(0);
    assert.equal((await client.post(last.json.authorizations[0], null)).json.status, 'expired');
    assert.equal((await client.order(['b.localhost'])).json.status, 'pending');
  });

  test('orders are listed newest first, page after page, without those that came to nothing', async () => {
    await using lab = await openAcmeLab(await newUrl(), { acme: { chaos: true } });
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    const patient = async (url: string, payload: unknown) => {
      const reply = await client.post(url, payload);
      return reply.json?.type === `${URN}badNonce` ? client.post(url, payload) : reply;
    };
    while ((await client.register()).status >= 300);
    const made: string[] = [];
    for (let at = 0; at < 7; at++) {
      lab.clock.advance(1_000);
      const reply = await patient(client.at('new-order'), { identifiers: [{ type: 'dns', value: `n${at}.localhost` }] });
      made.unshift(String(reply.headers['location']));
    }
    const listed: string[] = [];
    for (let url: string | undefined = `${client.kid()}/orders`; url !== undefined;) {
      const page: Awaited<ReturnType<typeof patient>> = await patient(url, null);
      assert.equal(page.json.orders.length <= 3, true);
      listed.push(...page.json.orders);
      url = /<([^>]+)>;rel="next"/.exec(
        [page.headers['link']]
          .flat()
          .join(', ')
          .split(', ')
          .find((link) => link.includes('next')) ?? '',
      )?.[1];
    }
    assert.deepEqual(listed, made);
    lab.clock.advance(8 * DAY_MS);
    client.nonces.splice(0);
    assert.deepEqual((await patient(`${client.kid()}/orders`, null)).json.orders, []);
  });

  test('an account that was deactivated can do nothing, and its open orders end', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    await client.register();
    const order = await client.order(['a.localhost']);
    assert.equal((await client.post(client.kid(), { status: 'deactivated' })).json.status, 'deactivated');
    for (const url of [client.kid(), String(order.headers['location']), order.json.authorizations[0]]) {
      const reply = await client.post(url, null);
      assert.equal(reply.status, 401);
      assert.equal(reply.json.type, `${URN}unauthorized`);
    }
    assert.equal((await client.order(['b.localhost'])).status, 401);
    const kid = client.kid();
    const again = await makeAcmeClient(lab.base, lab.rootFile, client.key());
    assert.equal((await again.register()).status, 401, 'its key is not free again');
    assert.equal((await again.register({ onlyReturnExisting: true })).status, 401);
    assert.equal((await findAccount(lab.ca.database.queries, kid.split('/').at(-1)!))?.status, 'deactivated');
  });

  test('keyChange gives the account another key; its orders stay, and the old key is a stranger’s', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    await client.register();
    const order = await client.order(['a.localhost']);
    const url = client.at('key-change');
    const [old, next] = [client.key(), newKey()];
    const inner = (change: object = {}, payload: object = {}, key = next) =>
      signJws(key, { alg: 'ES256', jwk: jwkOf(key), url, ...change }, { account: client.kid(), oldKey: jwkOf(old), ...payload });
    const cases: readonly (readonly [string, unknown])[] = [
      ['nothing', {}],
      ['a nonce inside', inner({ nonce: 'AAAA' })],
      ['another url inside', inner({ url: client.at('new-order') })],
      ['a kid inside', inner({ jwk: undefined, kid: client.kid() })],
      ['another account', inner({}, { account: `${client.kid()}x` })],
      ['another old key', inner({}, { oldKey: jwkOf(next) })],
      ['the same key', inner({}, {}, old)],
      ['a signature of the old key', { ...inner(), signature: signJws(old, { alg: 'ES256', jwk: jwkOf(next), url }, {}).signature }],
    ];
    for (const [name, payload] of cases) assert.equal((await client.post(url, payload)).status, 400, name);
    const taken = await makeAcmeClient(lab.base, lab.rootFile);
    await taken.register();
    const conflict = await client.post(url, inner({}, {}, taken.key()));
    assert.equal(conflict.status, 409);
    assert.equal(conflict.headers['location'], taken.kid());
    assert.equal((await client.post(url, inner())).status, 200);
    assert.equal((await client.post(client.kid(), null)).status, 400, 'the old key');
    client.useKey(next);
    assert.equal((await client.post(String(order.headers['location']), null)).json.status, 'pending');
    await proveAll(lab, client, order);
    assert.equal((await client.post(String(order.headers['location']), null)).json.status, 'ready', 'proved with the new key');
  });
});
