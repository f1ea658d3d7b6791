import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { type AdminApi, openAdminApi } from '../../../test/support/admin-api.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type FoundCertificate, recordForeignCertificate } from '../../control/external/record-certificate.ts';
import { putServed } from '../../control/telemetry/store.ts';
import { DAY_MS, SECOND_MS } from '../../core/time/instant.ts';
import { issuanceRules } from '../../core/issuance/issuance-order.ts';
import { buildCertificateRequest, type RequestFields } from '../../core/x509/certificate-request.ts';
import { encodePem } from '../../core/x509/pem.ts';

const csrOf = (fields: RequestFields = {}, curve = 'P-256'): string =>
  encodePem('CERTIFICATE REQUEST', buildCertificateRequest(fields, generateKeyPairSync('ec', { namedCurve: curve }).privateKey));
const post = (api: AdminApi, token: string, path: string, body: object) => api.call({ method: 'POST', path, token, body });
const explain = (api: AdminApi, token: string, body: object) => post(api, token, '/v1/issuance/explanations', body);
const replay = (api: AdminApi, token: string, body: object) => post(api, token, '/v1/issuance/replays', body);
const elsewhere = { name: 'public', directoryUrl: 'https://ca.example/directory', challenge: 'http-01', allowedNames: ['*.acme.test'] };
const profile = (text: string): string => `apiVersion: countersign/v1\nkind: Profile\n${text}`;
const brokenIn = (answer: {
  readonly json: { readonly rules: { readonly rule: string; readonly verdict: string }[] };
}): readonly string[] => answer.json.rules.filter(({ verdict }) => verdict === 'broken').map(({ rule }) => rule);

forEachDatabase('what issuance says before it is asked', (newUrl) => {
  test('an explanation says what the door then does, names every rule, and leaves no trace', async () => {
    await using api = await openAdminApi(await newUrl());
    const operator = await api.tokenOf('operator');
    const spiffeId = 'spiffe://acme.example/test/orders';
    const suspended = 'spiffe://acme.example/test/gone';
    await post(api, await api.tokenOf('admin'), '/v1/identities/suspend', { spiffeId: suspended, reason: 'test' });
    const csr = csrOf();
    const asked: readonly (readonly [object, readonly string[]])[] = [
      [{ profile: 'server', dnsNames: ['a.test'], csr }, []],
      [{ profile: 'workload', spiffeId, csr }, []],
      [{ profile: 'server', csr }, ['names']],
      [{ profile: 'server', dnsNames: ['a.test'], spiffeId, csr }, ['identity']],
      [{ profile: 'server', dnsNames: ['a.test'], csr: csrOf({ dnsNames: ['b.test'] }) }, ['csr-names']],
      [{ profile: 'server', dnsNames: ['a.test'], lifetimeMs: 300 * DAY_MS, csr }, ['lifetime']],
      [{ profile: 'workload', spiffeId: suspended, csr }, ['suspended']],
      [{ profile: 'workload', spiffeId: 'spiffe://acme.example/test/countersign/probe', csr }, ['reserved-name']],
      [{ profile: 'root', csr }, ['asker', 'names', 'issuer']],
    ];
    const before = [api.entries.length, await certificatesIn(api, operator)];
    const told: (readonly string[])[] = [];
    for (const [body, broken] of asked) {
      const answer = await explain(api, operator, { door: 'rest', ...body });
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(
        answer.json.rules.map(({ rule }: { readonly rule: string }) => rule),
        Object.keys(issuanceRules),
      );
      told.push(brokenIn(answer));
      assert.deepEqual(brokenIn(answer), broken, JSON.stringify(body));
      assert.equal(answer.json.verdict, broken.length === 0 ? 'issue' : 'refuse');
    }
    assert.deepEqual([api.entries.length, await certificatesIn(api, operator)], before, 'nothing reserved, signed or logged');
    for (const [index, [body]] of asked.entries()) {
      const done = await post(api, operator, '/v1/certificates', body);
      assert.equal(done.status, told[index]!.length === 0 ? 201 : 403, `${JSON.stringify(body)}: ${done.text}`);
      for (const rule of told[index]!) assert.match(done.json.detail, rule === 'suspended' ? /suspended/ : new RegExp(`\\b${rule}: `));
    }
  });

  test('without a CSR nothing is said of keys; others can be asked for; a trial profile rules the answer alone', async () => {
    await using api = await openAdminApi(await newUrl());
    const [viewer, operator] = [await api.tokenOf('viewer'), await api.tokenOf('operator')];
    const body = { profile: 'server', door: 'rest', dnsNames: ['a.test'] };
    const plain = await explain(api, viewer, body);
    assert.equal(plain.json.verdict, 'issue');
    assert.deepEqual(
      plain.json.rules.flatMap((rule: { readonly rule: string; readonly verdict: string }) =>
        rule.verdict === 'unknown' ? [rule.rule] : [],
      ),
      ['csr-names', 'key'],
    );
    assert.deepEqual(brokenIn(await explain(api, viewer, { ...body, door: 'join' })), ['asker']);
    assert.deepEqual(brokenIn(await explain(api, viewer, { ...body, asker: { role: 'data-plane' } })), ['asker']);
    assert.deepEqual(brokenIn(await explain(api, viewer, { ...body, door: 'acme' })), []);
    const text = profile(
      'name: server\nbase: server\nnames: { dns: [b.test] }\naskers: { rest: { roles: [ci] } }\napprovals: { count: 2 }',
    );
    assert.deepEqual(brokenIn(await explain(api, viewer, { ...body, text })), ['permitted', 'approval']);
    assert.deepEqual(brokenIn(await explain(api, viewer, { ...body, text, asker: { role: 'operator' } })), [
      'asker',
      'permitted',
      'approval',
    ]);
    const waiting = await explain(api, viewer, { ...body, dnsNames: ['b.test'], text });
    assert.equal(waiting.json.verdict, 'wait');
    assert.equal((await explain(api, viewer, { ...body, profile: 'none' })).json.profile, null);
    assert.equal((await explain(api, viewer, body)).json.verdict, 'issue', 'the trial changed nothing');
    for (const [wrong, status] of [
      [{ ...body, text: 'apiVersion: countersign/v1\nkind: Service\nname: a\nowner: b' }, 400],
      [{ ...body, text: 'apiVersion: countersign/v1\nkind: Profile\nname: server\nstate: absent' }, 400],
      [{ ...body, door: 'drill' }, 400],
      [{ ...body, csr: 'x' }, 400],
      [{ ...body, spiffeId: 'spiffe://' }, 400],
    ] as const) {
      assert.equal((await explain(api, viewer, wrong)).status, status, JSON.stringify(wrong));
    }
    const elsewhere = await api.tokenOf('operator', ['staging']);
    assert.equal((await explain(api, elsewhere, body)).status, 403);
    assert.equal(
      (await explain(api, elsewhere, { ...body, environment: 'staging', text })).status,
      403,
      'a profile of another environment',
    );
    assert.equal((await explain(api, await api.tokenOf('ci'), body)).status, 403);
    assert.equal((await replay(api, await api.tokenOf('ci'), {})).status, 403);
    assert.equal((await post(api, operator, '/v1/certificates', { ...body, door: undefined, csr: csrOf() })).status, 201);
  });

  test('of an order at another CA an explanation says what the door external then does, and leaves no trace', async () => {
    await using api = await openAdminApi(await newUrl());
    const [admin, operator, viewer] = [await api.tokenOf('admin'), await api.tokenOf('operator'), await api.tokenOf('viewer')];
    const text = profile(
      'name: web\nbase: server\nkeys: { curves: [P-256] }\naskers: { external: { roles: [operator] } }\napprovals: { count: 2 }',
    );
    assert.equal((await post(api, admin, '/v1/declarations', { text })).status, 200);
    const other = { ...elsewhere, judgedBy: ['server', 'web'] };
    assert.equal((await post(api, admin, '/v1/external-authorities', other)).status, 200);
    const door = { door: 'external', authority: 'public' };
    const asked: readonly (readonly [object, string, RequestFields, string, readonly string[]])[] = [
      [{}, 'server', { dnsNames: ['www.acme.test'] }, 'order', []],
      [{}, 'web', { dnsNames: ['www.acme.test'] }, 'wait', ['approval']],
      [{}, 'server', { dnsNames: ['www.other.test'] }, 'refuse', ['constraints']],
      [{}, 'server', { dnsNames: ['*.acme.test'] }, 'refuse', ['issuer']],
      [{}, 'server', {}, 'refuse', ['names']],
      [{}, 'server-shortlived', { dnsNames: ['www.acme.test'] }, 'refuse', ['issuer']],
      [{}, 'workload', { dnsNames: ['www.acme.test'] }, 'refuse', ['asker', 'identity', 'issuer']],
    ];
    const before = api.entries.length;
    const told: (readonly string[])[] = [];
    for (const [more, name, fields, verdict, broken] of asked) {
      const body = { ...door, ...more, profile: name, dnsNames: fields.dnsNames ?? [], csr: csrOf(fields) };
      const answer = await explain(api, operator, body);
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual([answer.json.verdict, brokenIn(answer)], [verdict, broken], `${name} ${JSON.stringify(fields)}`);
      told.push(brokenIn(answer));
    }
    assert.equal(api.entries.length, before, 'nothing is logged');
    for (const [at, [, name, fields, verdict]] of asked.entries()) {
      const done = await post(api, operator, '/v1/external-orders', { authority: 'public', profile: name, csr: csrOf(fields) });
      assert.equal(done.status, { order: 201, wait: 202, refuse: 403 }[verdict as 'order'], done.text);
      if (verdict === 'refuse') for (const rule of told[at]!) assert.match(done.json.detail, new RegExp(`\\b${rule}: `));
    }
    const body = { ...door, profile: 'server', dnsNames: ['www.acme.test'] };
    const plain = (await explain(api, viewer, body)).json;
    assert.deepEqual([plain.verdict, plain.certificate, plain.bounds.longestMs], ['order', null, 199 * DAY_MS]);
    const unknown = plain.rules.filter((rule: { readonly verdict: string }) => rule.verdict === 'unknown');
    assert.deepEqual(
      unknown.map(({ rule }: { readonly rule: string }) => rule),
      ['csr-names', 'key', 'lifetime'],
    );
    assert.deepEqual(brokenIn(await explain(api, viewer, { ...body, lifetimeMs: DAY_MS })), ['lifetime'], 'no CA is told one');
    assert.deepEqual(brokenIn(await explain(api, viewer, { ...body, profile: 'web' })), ['asker', 'approval']);
    assert.deepEqual(
      brokenIn(await explain(api, viewer, { ...body, profile: 'web', asker: { role: 'control-plane' } })),
      ['approval'],
      'its renewal',
    );
    const trial = profile('name: server\nbase: server\nnames: { dns: [api.acme.test] }');
    assert.deepEqual(brokenIn(await explain(api, viewer, { ...body, text: trial })), ['permitted']);
    for (const [wrong, status] of [
      [{ ...body, authority: undefined }, 400],
      [{ ...body, authority: 'none' }, 404],
      [{ ...body, door: 'rest' }, 400],
      [{ ...body, spiffeId: 'spiffe://acme.example/test/orders' }, 400],
    ] as const)
      assert.equal((await explain(api, viewer, wrong)).status, status, JSON.stringify(wrong));
    assert.equal((await explain(api, await api.tokenOf('viewer', ['staging']), body)).status, 403);
  });

  test('a replay judges what other CAs gave too, by their declarations, and what was imported is nobody’s request', async () => {
    await using api = await openAdminApi(await newUrl());
    const [admin, operator] = [await api.tokenOf('admin'), await api.tokenOf('operator')];
    const { id } = (await post(api, admin, '/v1/external-authorities', elsewhere)).json;
    const record = async (name: string, change: Partial<FoundCertificate> = {}): Promise<string> => {
      api.clock.advance(SECOND_MS);
      const now = api.clock.now();
      const stranger = makeTestAuthority(now, 'Public');
      const validity = { notBefore: now, notAfter: now + 90 * DAY_MS - SECOND_MS };
      const { certificate } = stranger.issue({ dnsNames: [name], usages: ['server'], ...validity });
      const found = { leaf: certificate, issuer: stranger.issuing, chain: [certificate.der], environment: 'test', region: 'local' };
      const asked = { door: 'external', asker: 'release', askerRole: 'ci', profile: 'server', authorityId: id, endpointId: null } as const;
      await api.database.commit(({ queries }) => recordForeignCertificate(queries, { ...found, ...asked, ...change }, now));
      return certificate.serialHex;
    };
    const ours = await record('www.acme.test');
    await record('old.acme.test', { askerRole: null });
    await record('partner.test', { door: 'import', askerRole: null, authorityId: null });
    assert.deepEqual((await replay(api, operator, {})).json, { judged: 2, items: [], next: null });
    const rules = async (text: string): Promise<unknown> => {
      const { items } = (await replay(api, operator, { text: profile(`name: server\nbase: server\n${text}`) })).json;
      const found = items.find(({ serial }: { readonly serial: string }) => serial === ours);
      return [items.length, found?.verdict, found?.reasons.map(({ rule }: { readonly rule: string }) => rule), found?.changes.length];
    };
    assert.deepEqual(await rules('lifetime: { usual: 30d, max: 47d }'), [2, 'refused', ['lifetime'], 0]);
    assert.deepEqual(await rules('askers: { rest: {} }'), [2, 'refused', ['asker'], 0]);
    assert.deepEqual(await rules('askers: { external: { roles: [operator] } }'), [1, 'refused', ['asker'], 0]);
    assert.deepEqual(await rules('names: { dns: [old.acme.test] }'), [1, 'refused', ['permitted'], 0]);
    assert.deepEqual(await rules('askers: { external: {} }\napprovals: {}'), [2, 'waits', ['approval'], 0]);
    assert.deepEqual(await rules('extendedKeyUsage: [serverAuth, clientAuth]'), [2, 'changed', [], 1]);
    assert.deepEqual(await rules('lifetime: { usual: 90d, max: 90d }'), [0, undefined, undefined, undefined]);
    await post(api, admin, '/v1/external-authorities', { ...elsewhere, allowedNames: ['old.acme.test'] });
    assert.deepEqual((await replay(api, operator, {})).json.items[0].reasons[0].rule, 'constraints');
  });

  test('a replay names what would be refused, would wait or would be another, page by page, and nothing else', async () => {
    await using api = await openAdminApi(await newUrl());
    const [operator, ci] = [await api.tokenOf('operator'), await api.tokenOf('ci')];
    const issue = async (token: string, body: object): Promise<string> => {
      api.clock.advance(SECOND_MS);
      const answer = await post(api, token, '/v1/certificates', { profile: 'server', csr: csrOf(), ...body });
      assert.equal(answer.status, 201, answer.text);
      return answer.json.serial as string;
    };
    const plain = await issue(operator, { dnsNames: ['a.test'] });
    const long = await issue(operator, { dnsNames: ['a.test'], lifetimeMs: 120 * DAY_MS });
    const other = await issue(ci, { dnsNames: ['b.test'] });
    const strong = await issue(operator, { dnsNames: ['a.test'], csr: csrOf({}, 'P-384') });
    await issue(operator, { profile: 'workload', spiffeId: 'spiffe://acme.example/test/orders' });
    assert.deepEqual((await replay(api, operator, {})).json, { judged: 5, items: [], next: null }, 'what is in force made them');
    const text = profile(
      'name: server\nbase: server\nlifetime: { usual: 30d, max: 100d }\nkeys: { curves: [P-256] }\naskers: { rest: { roles: [operator] } }',
    );
    const expected: readonly (readonly [string, string, readonly string[]])[] = [
      [strong, 'refused', ['key']],
      [other, 'refused', ['asker']],
      [long, 'refused', ['lifetime']],
      [plain, 'changed', []],
    ];
    const entries = api.entries.length;
    const found: unknown[] = [];
    let [judged, before]: [number, string | undefined] = [0, undefined];
    do {
      const page = await replay(api, operator, { text, limit: 2, ...(before === undefined ? {} : { before }) });
      assert.equal(page.status, 200, page.text);
      judged += page.json.judged as number;
      for (const { serial, verdict, reasons } of page.json.items) {
        found.push([serial, verdict, reasons.map(({ rule }: { readonly rule: string }) => rule)]);
      }
      before = page.json.next ?? undefined;
    } while (before !== undefined);
    assert.equal(judged, 5);
    assert.deepEqual(found, expected);
    const changed = (await replay(api, operator, { text })).json.items.at(-1);

    assert.deepEqual(changed.changes, [{ field: 'lifetime', before: daysWithBackdate(90), after: daysWithBackdate(30) }]);
    const waiting = await replay(api, operator, {
      text: profile('name: server\nbase: server\naskers: { rest: {} }\napprovals: {}'),
      profile: 'server',
    });
    assert.deepEqual(
      waiting.json.items.map(({ verdict }: { readonly verdict: string }) => verdict),
      ['waits', 'waits', 'waits', 'waits'],
    );
    assert.equal(api.entries.length, entries, 'nothing is logged');
    assert.deepEqual((await replay(api, await api.tokenOf('viewer', ['staging']), {})).json.judged, 0, 'of no other environment');
  });

  test('a list is narrowed by service, asker, what is served and what ends soon, and pages through each', async () => {
    await using api = await openAdminApi(await newUrl());
    const [operator, ci] = [await api.tokenOf('operator'), await api.tokenOf('ci')];
    const serials: string[] = [];
    for (const [token, days] of [
      [ci, 30],
      [operator, 10],
      [ci, 20],
    ] as const) {
      api.clock.advance(SECOND_MS);
      const body = { profile: 'workload', spiffeId: 'spiffe://acme.example/test/orders', csr: csrOf(), lifetimeMs: days * DAY_MS };
      const answer = await post(api, token, '/v1/certificates', body);
      assert.equal(answer.status, 201, answer.text);
      serials.push(answer.json.serial as string);
    }
    const [first, second, third] = serials as [string, string, string];
    const list = async (
      query: string,
    ): Promise<{ readonly serials: readonly string[]; readonly next: string | null; readonly items: any[] }> => {
      const { json, status, text } = await api.call({ method: 'GET', path: `/v1/certificates?${query}`, token: operator });
      assert.equal(status, 200, text);
      return { serials: json.items.map(({ serial }: { readonly serial: string }) => serial), next: json.next, items: json.items };
    };
    assert.deepEqual((await list('service=orders')).serials, [third, second, first]);
    assert.deepEqual((await list('service=none')).serials, []);
    assert.deepEqual((await list('asker=ci%20of%20the%20test')).serials, [third, first]);
    assert.deepEqual((await list('environment=stage')).serials, []);
    const soon = `endsBefore=${api.clock.now() + 25 * DAY_MS}`;
    const page = await list(`${soon}&limit=1`);
    assert.deepEqual(page.serials, [second], 'soonest first');
    const rest = await list(`${soon}&limit=1&before=${page.next}`);
    assert.deepEqual([rest.serials, rest.next], [[third], null]);
    assert.deepEqual((await list('served=yes')).serials, []);
    await api.database.commit(({ queries }) =>
      putServed(queries, [
        {
          proxy_id: 'proxy_00000000000000000000000001',
          endpoint_id: 'endpoint_00000000000000000000000001',
          environment: 'test',
          region: 'local',
          issuer_key_sha256: rest.items[0].issuerKeySha256,
          serial: second,
          serial_octets: Buffer.from(second, 'hex'),
          not_after: 0,
          seen_at: 5,
        },
      ]),
    );
    const served = await list('served=yes');
    assert.deepEqual([served.serials, served.items[0].served[0].seenAt], [[second], 5]);
    assert.deepEqual((await list('served=no')).serials, [third, first]);
    api.clock.advance(15 * DAY_MS);
    assert.deepEqual((await list(soon)).serials, [third], 'what ended is over');
    for (const wrong of ['served=maybe', 'endsBefore=soon', 'asker=', 'service=orders&identity=spiffe://acme.example/test/orders']) {
      assert.equal((await api.call({ method: 'GET', path: `/v1/certificates?${wrong}`, token: operator })).status, 400, wrong);
    }
  });
});

async function certificatesIn(api: AdminApi, token: string): Promise<number> {
  return (await api.call({ method: 'GET', path: '/v1/certificates?limit=1000', token })).json.items.length as number;
}

/** In seconds, with the five minutes that clocks may be behind. */
function daysWithBackdate(count: number): string {
  return `${count * 86_400 + 300} s`;
}
