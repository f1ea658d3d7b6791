import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Bend, encodeJson, jwkOf, makeAcmeClient, newKey } from '../../../test/support/acme-client.ts';
import { openAcmeLab } from '../../../test/support/acme-lab.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { HOUR_MS } from '../../core/time/instant.ts';
import { makerOf } from '../../../test/support/maker.ts';
import { revokeGrant } from '../../control/grants/revoke-grant.ts';
import { makeBinding } from './binding.ts';
import { openTestAuthorities } from '../../../test/support/authorities.ts';

const URN = 'urn:ietf:params:acme:error:';
const ada = { kind: 'person', name: 'ada' } as const;

forEachDatabase('ACME requests', (newUrl) => {
  test('directory and nonces are open, everything else needs POST, and every answer says where the directory is', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    const directory = await client.send('GET', lab.directoryUrl, null);
    assert.equal(directory.status, 200);
    assert.equal(directory.headers['link'], undefined);
    assert.equal(directory.headers['access-control-allow-origin'], '*');
    const { meta, ...resources } = directory.json;
    for (const [name, url] of Object.entries(resources)) assert.equal(String(url).startsWith(`${lab.base}/acme/`), true, name);
    assert.deepEqual(Object.keys(meta.profiles), ['server', 'shortlived']);
    for (const [method, status] of [
      ['HEAD', 200],
      ['GET', 204],
    ] as const) {
      const reply = await client.send(method, resources.newNonce, null);
      assert.equal(reply.status, status);
      assert.match(String(reply.headers['replay-nonce']), /^[A-Za-z0-9_-]+$/);
      assert.equal(reply.headers['cache-control'], 'no-store');
      assert.match(String(reply.headers['link']), /directory>;rel="index"/);
    }
    for (const url of [
      resources.newAccount,
      resources.newOrder,
      resources.keyChange,
      resources.revokeCert,
      client.at('order/order_1'),
      client.at('account/x/orders'),
    ]) {
      const reply = await client.send('GET', url, null);
      assert.equal(reply.status, 405, url);
      assert.equal(reply.headers['allow'], 'POST');
    }
    assert.equal((await client.send('POST', lab.directoryUrl, '{}')).status, 405);
    for (const path of ['', '/', '/acme', '/acme/', '/acme/directory/', '/acme//new-nonce', '/ACME/directory', '/acme/order/%2e%2e/x']) {
      assert.equal((await client.send('GET', `${lab.base}${path}`, null)).status, 404, path);
    }
    assert.equal((await client.send('OPTIONS', resources.newOrder, null)).headers['access-control-allow-headers'], 'Content-Type');
  });

  test('a POST that is bent in any way is refused with a problem, and the answer carries a nonce that works', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    await client.register();
    const url = client.at('new-order');
    const payload = { identifiers: [{ type: 'dns', value: 'a.localhost' }] };
    const used = await client.nonce();
    assert.equal((await client.post(client.kid(), null, { header: { nonce: used } })).status, 200);
    const kid = client.kid();
    const cases: readonly (readonly [string, Bend, number, string])[] = [
      ['another media type', { contentType: 'application/json' }, 415, 'malformed'],
      ['no media type', { contentType: '' }, 415, 'malformed'],
      ['no JSON', { raw: 'x' }, 400, 'malformed'],
      ['an empty body', { raw: '' }, 400, 'malformed'],
      ['a body too large', { raw: `{"a":"${'x'.repeat(70_000)}"}` }, 413, 'malformed'],
      ['no nonce', { without: ['nonce'] }, 400, 'malformed'],
      ['a nonce that is none', { header: { nonce: 'ä' } }, 400, 'malformed'],
      ['a used nonce', { header: { nonce: used } }, 400, 'badNonce'],
      ['a nonce of another', { header: { nonce: 'bm9uY2U' } }, 400, 'badNonce'],
      ['another url', { header: { url: client.at('key-change') } }, 403, 'unauthorized'],
      ['a url of another host', { header: { url: 'https://ca.example/acme/new-order' } }, 403, 'unauthorized'],
      ['a url with a query', { header: { url: `${url}?` } }, 403, 'unauthorized'],
      ['sent elsewhere', { sentTo: client.at('key-change') }, 403, 'unauthorized'],
      ['no url', { without: ['url'] }, 400, 'malformed'],
      ['a jwk beside the kid', { header: { jwk: client.jwk() } }, 400, 'malformed'],
      ['a jwk in place of the kid', { without: ['kid'], header: { jwk: client.jwk() } }, 400, 'malformed'],
      ['no key', { without: ['kid'] }, 400, 'malformed'],
      ['an unknown account', { header: { kid: `${kid}0` } }, 400, 'accountDoesNotExist'],
      ['an account by its bare id', { header: { kid: kid.split('/').at(-1) } }, 400, 'accountDoesNotExist'],
      ['an account of another server', { header: { kid: kid.replace('https://', 'https://x') } }, 400, 'accountDoesNotExist'],
      ['a kid with SQL in it', { header: { kid: `${client.at('account/')}' or 1=1 --` } }, 400, 'accountDoesNotExist'],
      ['a kid that no database takes', { header: { kid: `${client.at('account/')}\u0000` } }, 400, 'accountDoesNotExist'],
      ['another algorithm', { header: { alg: 'RS256' } }, 400, 'badSignatureAlgorithm'],
      ['none', { header: { alg: 'none' } }, 400, 'badSignatureAlgorithm'],
      ['a critical extension', { header: { crit: ['b64'], b64: false } }, 400, 'malformed'],
      ['another key', { key: newKey(), without: ['jwk'], header: { kid } }, 400, 'malformed'],
    ];
    for (const [name, bend, status, type] of cases) {
      const reply = await client.post(url, payload, bend);
      assert.deepEqual([reply.status, reply.json.type], [status, `${URN}${type}`], `${name}: ${reply.text}`);
      assert.equal(reply.headers['content-type'], 'application/problem+json', name);
      const nonce = reply.headers['replay-nonce'];
      assert.equal((await client.post(kid, null, { header: { nonce } })).status, 200, `${name}: its nonce`);
      client.nonces.splice(0);
    }
    assert.deepEqual(
      lab.logged.filter(({ level }) => level === 'error'),
      [],
    );
  });

  test('newAccount makes one account a key, finds it again unchanged, and asks nothing of whoever only looks', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    const missing = await client.register({ onlyReturnExisting: true });
    assert.deepEqual([missing.status, missing.json.type], [400, `${URN}accountDoesNotExist`]);
    const cases: readonly (readonly [string, object, string])[] = [
      ['a telephone', { contact: ['tel:+431'] }, 'unsupportedContact'],
      ['two addresses', { contact: ['mailto:a@acme.example,b@acme.example'] }, 'invalidContact'],
      ['header fields', { contact: ['mailto:a@acme.example?subject=x'] }, 'invalidContact'],
      ['no address', { contact: ['mailto:'] }, 'invalidContact'],
      ['a text', { contact: 'mailto:a@acme.example' }, 'malformed'],
      ['too many', { contact: Array.from({ length: 11 }, (_, at) => `mailto:a${at}@acme.example`) }, 'malformed'],
      ['a word for a truth', { onlyReturnExisting: 'yes' }, 'malformed'],
    ];
    for (const [name, payload, type] of cases) assert.equal((await client.register(payload)).json.type, `${URN}${type}`, name);
    const twins = await Promise.all(
      [1, 2, 3].map(async () =>
        (await makeAcmeClient(lab.base, lab.rootFile, client.key())).register({ contact: ['mailto:a@acme.example'], unknown: 1 }),
      ),
    );
    assert.deepEqual(twins.map(({ status }) => status).toSorted(), [200, 200, 201]);
    assert.equal(new Set(twins.map(({ headers }) => headers['location'])).size, 1);
    assert.deepEqual(Object.keys(twins[0]!.json).toSorted(), ['contact', 'orders', 'status'], 'unknown fields are not echoed');
    const again = await client.register({ contact: ['mailto:other@acme.example'] });
    assert.deepEqual([again.status, again.json.contact], [200, ['mailto:a@acme.example']], 'unchanged');
    assert.deepEqual((await client.post(client.kid(), { contact: [] })).json.contact, []);
    assert.equal((await client.post(client.kid(), { status: 'revoked' })).status, 400);
    assert.equal((await client.post(client.kid(), { status: 'valid', orders: 'x' })).status, 200);
  });

  test('newOrder tells every identifier that it refuses, and refuses what it cannot honour', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    await client.register();
    const several = await client.order(['a.localhost', 'a..b', 'under_score.example', '*.com', '10.0.0.256']);
    assert.equal(several.json.type, `${URN}rejectedIdentifier`);
    assert.deepEqual(
      several.json.subproblems.map(({ identifier }: any) => identifier.value),
      ['a..b', 'under_score.example', '*.com', '10.0.0.256'],
    );
    const dns = [{ type: 'dns', value: 'a.localhost' }];
    const cases: readonly (readonly [string, unknown, string])[] = [
      ['nothing', {}, 'malformed'],
      ['no identifier', { identifiers: [] }, 'malformed'],
      ['no list', { identifiers: dns[0] }, 'malformed'],
      ['an identifier without a type', { identifiers: [{ value: 'a' }] }, 'malformed'],
      ['a value that is no text', { identifiers: [{ type: 'dns', value: 1 }] }, 'malformed'],
      ['a null', { identifiers: [null] }, 'malformed'],
      ['too many', { identifiers: Array.from({ length: 101 }, (_, at) => ({ type: 'dns', value: `n${at}.localhost` })) }, 'malformed'],
      ['a name too long', { identifiers: [{ type: 'dns', value: `${'a'.repeat(400)}.localhost` }] }, 'malformed'],
      ['another type', { identifiers: [{ type: 'email', value: 'a@b' }] }, 'unsupportedIdentifier'],
      ['a wildcard inside', { identifiers: [{ type: 'dns', value: 'a.*.localhost' }] }, 'rejectedIdentifier'],
      ['two wildcards', { identifiers: [{ type: 'dns', value: '*.*.localhost' }] }, 'rejectedIdentifier'],
      ['an address as a name', { identifiers: [{ type: 'dns', value: '127.0.0.1' }] }, 'rejectedIdentifier'],
      ['a name as an address', { identifiers: [{ type: 'ip', value: 'a.localhost' }] }, 'rejectedIdentifier'],
      ['an address in another spelling', { identifiers: [{ type: 'ip', value: '0:0:0:0:0:0:0:1' }] }, 'rejectedIdentifier'],
      ['a U-label', { identifiers: [{ type: 'dns', value: 'bücher.example' }] }, 'rejectedIdentifier'],
      ['a dot at the end', { identifiers: [{ type: 'dns', value: 'a.localhost.' }] }, 'rejectedIdentifier'],
      ['an end of its own', { identifiers: dns, notAfter: '2030-01-01T00:00:00Z' }, 'malformed'],
      ['an unknown profile', { identifiers: dns, profile: 'root' }, 'invalidProfile'],
      ['a profile of the prototype', { identifiers: dns, profile: 'constructor' }, 'invalidProfile'],
      ['a profile that is no text', { identifiers: dns, profile: 1 }, 'malformed'],
      ['a predecessor that is none', { identifiers: dns, replaces: 'x' }, 'malformed'],
      ['a predecessor of nobody', { identifiers: dns, replaces: 'AAAA.AAAA' }, 'malformed'],
    ];
    for (const [name, payload, type] of cases)
      assert.equal((await client.post(client.at('new-order'), payload)).json.type, `${URN}${type}`, name);
    const double = await client.order(['A.localhost', 'a.localhost', '*.a.localhost', '::1']);
    assert.deepEqual(
      double.json.identifiers.map(({ value }: any) => value),
      ['*.a.localhost', 'a.localhost', '::1'],
    );
    const shown = await Promise.all((double.json.authorizations as string[]).map(async (url) => (await client.post(url, null)).json));
    assert.deepEqual(
      shown.map(({ identifier, wildcard = false, challenges }) => [identifier.value, wildcard, challenges.map(({ type }: any) => type)]),
      [
        ['a.localhost', true, ['dns-01']],
        ['a.localhost', false, ['http-01', 'tls-alpn-01', 'dns-01']],
        ['::1', false, ['http-01', 'tls-alpn-01']],
      ],
    );
  });

  test('a binding serves one account once, and only as it was made', async () => {
    await using lab = await openAcmeLab(await newUrl(), { acme: { externalAccountRequired: true } });
    const deps = { ...lab.ca, bindings: lab.secrets.bindings };
    const maker = await makerOf(lab.ca, lab.clock.now());
    const make = async (ttlMs: number, at = lab.clock.now()) => {
      const { grant, secret } = await makeBinding(deps, { ...request, ttlMs }, maker, at);
      return { keyId: grant.id, macKey: secret, grant };
    };
    const request = { name: 'web', role: 'ci', environment: 'production', region: 'local' } as const;
    const token = await make(HOUR_MS);
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    const url = client.at('new-account');
    const bind = (change: object = {}, key = client.jwk(), mac = token.macKey.reveal(), hash = 'sha256') => {
      const input = `${encodeJson({ alg: 'HS256', kid: token.keyId, url, ...change })}.${encodeJson(key)}`;
      const [head, payload] = input.split('.');
      return { protected: head, payload, signature: createHmac(hash, Buffer.from(mac, 'base64url')).update(input).digest('base64url') };
    };
    const cases: readonly (readonly [string, unknown, string])[] = [
      ['none', undefined, 'externalAccountRequired'],
      ['a text', 'x', 'malformed'],
      ['null', null, 'malformed'],
      ['another url', bind({ url: client.at('new-order') }), 'malformed'],
      ['a nonce', bind({ nonce: 'AAAA' }), 'malformed'],
      ['no MAC', bind({ alg: 'none' }), 'malformed'],
      ['a signature', bind({ alg: 'ES256' }), 'malformed'],
      ['no kid', bind({ kid: undefined }), 'malformed'],
      ['another key', bind({}, jwkOf(newKey())), 'malformed'],
      ['another MAC key', bind({}, client.jwk(), 'AAAA'), 'unauthorized'],
      ['an unknown token', bind({ kid: 'token_00000000000000000000000000' }), 'unauthorized'],
      ['a key ID that no database takes', bind({ kid: '\u0000' }), 'unauthorized'],
      ['a changed payload', { ...bind(), payload: encodeJson(jwkOf(newKey())) }, 'unauthorized'],
    ];
    for (const [name, externalAccountBinding, type] of cases) {
      assert.equal((await client.register({ externalAccountBinding })).json.type, `${URN}${type}`, name);
    }
    const late = await make(1, lab.clock.now() - 10);
    const gone = await make(HOUR_MS);
    await revokeGrant(lab.ca, gone.grant, ada, lab.clock.now());
    for (const { keyId, macKey } of [late, gone]) {
      assert.equal(
        (await client.register({ externalAccountBinding: bind({ kid: keyId }, client.jwk(), macKey.reveal()) })).json.type,
        `${URN}unauthorized`,
      );
    }
    const rivals = await Promise.all(
      [client, await makeAcmeClient(lab.base, lab.rootFile)].map(async (rival) => ({ rival, binding: bind({}, rival.jwk()) })),
    );
    const replies = await Promise.all(rivals.map(({ rival, binding }) => rival.register({ externalAccountBinding: binding })));
    assert.deepEqual(replies.map(({ status }) => status).toSorted(), [201, 403], 'two at once');
    const winner = rivals[replies.findIndex(({ status }) => status === 201)]!;
    assert.deepEqual((await winner.rival.post(winner.rival.kid(), null)).json.externalAccountBinding, winner.binding, 'echoed');
    assert.equal((await winner.rival.register({ onlyReturnExisting: true })).status, 400, 'a kid is no jwk');
    const again = await makeAcmeClient(lab.base, lab.rootFile, winner.rival.key());
    assert.equal((await again.register({ onlyReturnExisting: true })).status, 200, 'needs no binding to be found');
    const reasons = lab.logged.filter(({ event }) => event === 'acme.refused').map(({ fields }) => fields['reason']);
    assert.deepEqual(
      reasons,
      [
        `${token.keyId}: the MAC is not by its key`,
        'no grant of this key, and its MAC is wrong',
        'no grant of this key, and its MAC is wrong',
        `${token.keyId}: the MAC is not by its key`,
        `${late.keyId}: expired`,
        `${gone.keyId}: revoked`,
        `${token.keyId}: used`,
      ],
      'what the outside does not learn',
    );
    assert.deepEqual(
      lab.ca.entriesOf('request.refused').map(({ data }) => [data['route'], data['code']]),
      [['acme binding', 'token-refused']],
      'one of each kind, however many there were',
    );
    assert.equal(JSON.stringify([lab.ca.entries, lab.logged]).includes(token.macKey.reveal()), false, 'no MAC key in the log');
  });

  test('terms that changed are agreed to before the next order', async () => {
    await using lab = await openAcmeLab(await newUrl(), { acme: { termsOfService: 'https://acme.example/terms' } });
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    const refused = await client.register();
    assert.equal(refused.json.type, `${URN}userActionRequired`);
    assert.equal(refused.json.instance, 'https://acme.example/terms');
    assert.match(String(refused.headers['link']), /<https:\/\/acme.example\/terms>;rel="terms-of-service"/);
    assert.equal((await client.register({ termsOfServiceAgreed: true })).json.termsOfServiceAgreed, true);
    assert.equal((await client.order(['a.localhost'])).status, 201);
  });

  test('limits answer rateLimited with Retry-After, and the allowance comes back with time', async () => {
    const limits = {
      accountsPerAddress: { burst: 2, periodMs: HOUR_MS },
      ordersPerAccount: { burst: 3, periodMs: HOUR_MS },
      ordersPerName: { burst: 2, periodMs: HOUR_MS },
    };
    await using lab = await openAcmeLab(await newUrl(), { acme: { limits } });
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    await client.register();
    await (await makeAcmeClient(lab.base, lab.rootFile)).register();
    const third = await (await makeAcmeClient(lab.base, lab.rootFile)).register();
    assert.deepEqual([third.status, third.json.type, Number(third.headers['retry-after']) > 0], [429, `${URN}rateLimited`, true]);
    const statuses = async (names: readonly string[]): Promise<number[]> => {
      const all: number[] = [];
      for (const name of names) all.push((await client.order([name])).status);
      return all;
    };
    assert.deepEqual(
      await statuses(['a.localhost', 'a.localhost', 'a.localhost', 'b.localhost', 'c.localhost']),
      [201, 201, 429, 201, 429],
    );
    lab.clock.advance(HOUR_MS / 2);
    client.nonces.splice(0);
    assert.deepEqual(await statuses(['a.localhost', 'a.localhost']), [201, 429]);
  });

  test('nonces hold across a restart', async () => {
    const url = await newUrl();
    await using lab = await openAcmeLab(url);
    const nonce = await (await makeAcmeClient(lab.base, lab.rootFile)).nonce();
    const { kek } = lab.ca;
    await using next = await openAcmeLab(url, { reopen: { reopen: kek } });
    const client = await makeAcmeClient(next.base, next.rootFile);
    const url2 = client.at('new-account');
    const reply = await client.post(url2, {}, { header: { nonce } });
    assert.equal(reply.status, 201, reply.text);
    assert.equal((await client.post(url2, {}, { header: { nonce } })).json.type, `${URN}badNonce`);
    await assert.rejects(openTestAuthorities(url, next.clock.now(), { reopen: { ...kek, id: 'other' } as never }), { code: 'key-locked' });
  });

  test('no body of any shape makes anything fail inside', async () => {
    await using lab = await openAcmeLab(await newUrl());
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    await client.register();
    const urls = [
      'new-account',
      'new-order',
      'key-change',
      'revoke-cert',
      'order/x/finalize',
      'authorization/x',
      'challenge/x/http-01',
    ].map(client.at);
    const { privateKey } = generateKeyPairSync('ed25519');
    const edJwk = { crv: 'Ed25519', kty: 'OKP', x: privateKey.export({ format: 'jwk' }).x };
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...urls, client.kid()), fc.jsonValue(), fc.boolean(), async (url, payload, byKey) => {
        const nonce = await client.nonce();
        if (!byKey) return (await client.post(url, payload, { header: { nonce } })).status < 500;
        const input = `${encodeJson({ alg: 'EdDSA', jwk: edJwk, nonce, url })}.${Buffer.from(JSON.stringify(payload)).toString('base64url')}`;
        const [protectedText, body] = input.split('.');
        const raw = JSON.stringify({
          protected: protectedText,
          payload: body,
          signature: sign(null, Buffer.from(input), privateKey).toString('base64url'),
        });
        return (await client.post(url, null, { raw })).status < 500;
      }),
      { numRuns: 60 },
    );
    assert.deepEqual(
      lab.logged.filter(({ level }) => level === 'error'),
      [],
    );
  });
});
