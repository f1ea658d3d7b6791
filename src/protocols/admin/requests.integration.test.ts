import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { type AdminApi, openAdminApi } from '../../../test/support/admin-api.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { reconcileRequests } from '../../control/ca/finish-request.ts';
import { approveRequest } from '../../control/ca/judge-request.ts';
import type { WaitingRequest } from '../../control/ca/waiting-request.ts';
import { beginSigning, insertWaiting, listOpen, putApproval } from '../../control/ca/waiting-store.ts';
import type { Scope } from '../../control/access/principal.ts';
import type { Role } from '../../control/access/role.ts';
import { endAccessToken } from '../../control/access/store.ts';
import { builtInProfiles } from '../../control/policies/declared-profiles.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import { createToken } from '../../control/access/create-token.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../core/time/instant.ts';
import { buildCertificateRequest } from '../../core/x509/certificate-request.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { decodePem, encodePem } from '../../core/x509/pem.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';

const path = '/v1/issuance-requests';
const declared = (approvals: string): string =>
  `apiVersion: countersign/v1\nkind: Profile\nname: payment\nbase: server\naskers: { rest: { roles: [operator, ci] } }\napprovals: ${approvals}`;
const csrOf = (): string =>
  encodePem('CERTIFICATE REQUEST', buildCertificateRequest({}, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey));

/** The API with one profile that two operators have to approve of, and tokens by the names of persons. */
async function open(url: string, approvals = '{ count: 2, role: operator, within: 2h }') {
  const api = await openAdminApi(url);
  const { database } = api;
  const named = async (name: string, role: Role, scope: Scope = '*') => {
    const request = { name, role, scope, environment: 'test', region: 'local', ttlMs: null } as const;
    const { tokenId, token } = await createToken({ database }, request, { kind: 'person', name: 'ada' }, api.clock.now());
    return { tokenId, token: token.reveal() };
  };
  const declare = async (text: string) => {
    const answer = await api.call({ method: 'POST', path: '/v1/declarations', token: await api.tokenOf('admin'), body: { text } });
    assert.equal(answer.status, 200, answer.text);
  };
  await declare(declared(approvals));
  const tokens = { grace: await named('Grace', 'operator'), linus: await named('linus', 'operator') };
  const [pipeline, grace, linus, barbara] = [
    await named('release', 'ci'),
    tokens.grace.token,
    tokens.linus.token,
    (await named('barbara', 'auditor')).token,
  ];
  const revoke = async (tokenId: string) => {
    const ended = await api.call({ method: 'DELETE', path: `/v1/tokens/${tokenId}`, token: await api.tokenOf('admin') });
    assert.equal(ended.status, 204, ended.text);
  };
  const ask = (token: string, change: object = {}) =>
    api.call({
      method: 'POST',
      path: '/v1/certificates',
      token,
      body: { profile: 'payment', dnsNames: ['pay.acme.test'], csr: csrOf(), ...change },
    });
  const judge = (token: string, id: string, verb = 'approval', body: object = {}) =>
    api.call({ method: 'POST', path: `${path}/${id}/${verb}`, token, body });
  const show = (token: string, id: string) => api.call({ method: 'GET', path: `${path}/${id}`, token });
  const file = async (token = pipeline.token): Promise<string> => {
    const answer = await ask(token);
    assert.equal(answer.status, 202, answer.text);
    return answer.json.request.id as string;
  };
  const logged = (): readonly string[] => api.entries.filter(({ type }) => type.startsWith('issuance-request.')).map(({ type }) => type);
  return {
    api,
    named,
    declare,
    tokens,
    revoke,
    pipeline,
    grace,
    linus,
    barbara,
    ask,
    judge,
    show,
    file,
    logged,
    [Symbol.asyncDispose]: api[Symbol.asyncDispose],
  };
}

const countOf = async (api: AdminApi): Promise<number> =>
  (await api.call({ method: 'GET', path: '/v1/certificates', token: await api.tokenOf('viewer') })).json.items.length as number;

forEachDatabase('requests that persons have to approve of', (newUrl) => {
  test('waits, is issued by the same door with the last approval, and only who asked and who may see it does', async () => {
    await using lab = await open(await newUrl());
    const { api, pipeline, grace, linus, judge, show, ask } = lab;
    const csr = csrOf();
    const filed = await ask(pipeline.token, { csr });
    assert.equal(filed.status, 202, filed.text);
    const { id, status, approvals } = filed.json.request;
    assert.deepEqual([status, approvals], ['waiting', { needed: 2, role: 'operator' }]);
    assert.equal((await ask(pipeline.token, { csr })).json.request.id, id, 'asked again it is the same');
    assert.equal(await countOf(api), 0, 'no serial is taken');
    assert.equal((await judge(grace, id)).json.status, 'waiting');
    assert.equal((await judge(grace, id)).json.approvers.length, 1, 'one person counts once');
    assert.equal((await judge((await lab.named('GRACE', 'admin')).token, id)).json.approvers.length, 1, 'whatever her token');
    const done = await judge(linus, id);
    assert.deepEqual([done.json.status, done.json.approvers], ['issued', ['grace', 'linus']]);
    const shown = await show(pipeline.token, id);
    assert.equal(parseCertificate(decodePem(shown.json.pem, 'CERTIFICATE')[0]!).serialHex, done.json.serial);
    assert.equal(decodePem(shown.json.pem, 'CERTIFICATE').length, 2, 'with its chain');
    const [record] = (await api.call({ method: 'GET', path: '/v1/certificates', token: grace })).json.items;
    assert.deepEqual([record.door, record.profile, record.asker], ['rest', 'payment', 'release']);
    assert.equal((await show((await lab.named('other', 'ci')).token, id)).status, 404, 'another pipeline');
    assert.equal((await judge(grace, id)).status, 409, 'it has ended');
    assert.deepEqual(lab.logged(), ['issuance-request.filed', 'issuance-request.approved', 'issuance-request.approved']);
    assert.equal(api.entries.find(({ type }) => type === 'certificate.issued')?.data['requestId'], id);
  });

  test('nobody approves of his own, without the role, in another environment, or after it was denied or expired', async () => {
    await using lab = await open(await newUrl());
    const { api, pipeline, grace, linus, barbara, judge, file, show } = lab;
    const own = await file(grace);
    for (const [name, token, status] of [
      ['who asked', grace, 403],
      ['who asked, by another token', (await lab.named('grace', 'operator')).token, 403],
      ['an auditor', barbara, 403],
      ['a pipeline', pipeline.token, 403],
      ['another environment', (await lab.named('eve', 'operator', ['stage'])).token, 403],
    ] as const) {
      assert.equal((await judge(token, own)).status, status, name);
    }
    assert.equal((await judge(barbara, own, 'denial')).status, 403);
    assert.equal((await judge(linus, 'request_00000000000000000000000000')).status, 404);
    assert.equal((await judge(linus, own, 'denial', { reason: 'not now' })).json.status, 'denied');
    assert.equal((await judge(linus, own)).status, 409);
    const late = await file();
    await judge(grace, late);
    api.clock.advance(2 * HOUR_MS);
    assert.equal((await judge(linus, late)).status, 409, 'expired');
    await reconcileRequests(api, api.clock.now());
    const shown = await show(pipeline.token, late);
    assert.deepEqual([shown.json.status, shown.json.pem], ['expired', null]);
    assert.equal(await countOf(api), 0);
    const list = async (query: string) =>
      (await api.call({ method: 'GET', path: `${path}${query}`, token: barbara })).json.items.length as number;
    assert.deepEqual([await list(''), await list('?status=all'), await list('?status=all&environment=stage')], [0, 2, 0]);
    api.clock.advance(91 * DAY_MS);
    await reconcileRequests(api, api.clock.now());
    assert.equal(await list('?status=all'), 0, 'the log keeps what became of them');
    assert.deepEqual(lab.logged().toSorted(), [
      'issuance-request.approved',
      'issuance-request.denied',
      'issuance-request.expired',
      'issuance-request.filed',
      'issuance-request.filed',
    ]);
  });

  test('what policy refuses anyway is refused at once; what changed while it waited counts when it is signed', async () => {
    await using lab = await open(await newUrl(), '{ count: 1 }');
    const { api, pipeline, grace, judge, ask, file, declare, named } = lab;
    const refused = await ask(pipeline.token, { dnsNames: [] });
    assert.equal(refused.status, 403);
    assert.match(refused.json.detail, /names: .*approval: /);
    const narrowed = await file();
    await declare(declared('{ count: 1 }').replace('base: server', 'base: server\nnames: { dns: [other.acme.test] }'));
    const first = await judge(grace, narrowed);
    assert.equal(first.json.status, 'refused');
    assert.match(first.json.reason, /permitted: /);
    await declare(declared('{ count: 1 }'));
    const brief = await named('brief', 'ci');
    const orphan = await file(brief.token);
    await api.call({ method: 'DELETE', path: `/v1/tokens/${brief.tokenId}`, token: await api.tokenOf('admin') });
    assert.match((await judge(grace, orphan)).json.reason, /token of who asked has ended/);
    const waiting = await file();
    await declare('apiVersion: countersign/v1\nkind: Profile\nname: payment\nstate: absent');
    assert.equal((await judge(grace, waiting)).json.status, 'refused');
    assert.equal(await countOf(api), 0);
  });

  test('of many last approvals one issues; what a process left is taken up once it is abandoned', async () => {
    await using lab = await open(await newUrl(), '{ count: 1 }');
    const { api, file, judge, named, show, grace, pipeline } = lab;
    const id = await file();
    const persons = await Promise.all(['a', 'b', 'c', 'd'].map((name) => named(name, 'operator')));
    const answers = await Promise.all(persons.map(({ token }) => judge(token, id)));
    assert.ok(answers.some(({ json }) => json.status === 'issued'));
    assert.equal((await show(pipeline.token, id)).json.status, 'issued');
    const issued = api.entries.filter(({ type }) => type === 'certificate.issued');
    assert.equal(issued.length, 1);
    const left = await file();
    const now = api.clock.now();
    // As if a process had ended between its two commits.
    await api.database.commit((unit) => beginSigning(unit.queries, left, { now, abandoned: now }));
    assert.equal((await judge(grace, left)).status, 409);
    await api.database.commit(({ queries }) =>
      putApproval(queries, { id: left, approver: 'grace', tokenId: lab.tokens.grace.tokenId }, now),
    );
    await reconcileRequests(api, now);
    assert.equal((await show(pipeline.token, left)).json.status, 'signing', 'it may be on its way');
    api.clock.advance(3 * MINUTE_MS);
    await reconcileRequests(api, api.clock.now());
    assert.equal((await show(pipeline.token, left)).json.status, 'issued');
  });

  test('two last approvals that do not see each other issue it all the same', async () => {
    await using lab = await open(await newUrl());
    const { api, file, show, pipeline, grace } = lab;
    const id = await file();
    const now = api.clock.now();
    // As two servers on one PostgreSQL do it: the other's approval is there once this one's commit is through, and saw nothing of it.
    const database: typeof api.database = {
      ...api.database,
      queries: api.database.queries,
      commit: async (unit) => {
        const made = await api.database.commit(unit);
        await api.database.commit(({ queries }) => putApproval(queries, { id, approver: 'linus', tokenId: lab.tokens.linus.tokenId }, now));
        return made;
      },
    };
    const principal = { tokenId: lab.tokens.grace.tokenId, name: 'Grace', role: 'operator', scope: '*' } as const;
    const actor = { kind: 'person', name: 'Grace' } as const;
    const { authorities, startOrder } = api;
    const judged = await approveRequest({ database, authorities, startOrder }, { id, principal, actor }, now);
    assert.deepEqual([judged.status, judged.approvers.map(({ name }) => name)], ['issued', ['grace', 'linus']]);
    assert.equal((await show(pipeline.token, id)).json.status, 'issued');
    assert.equal((await lab.judge(grace, id)).status, 409);
  });

  test('a yes counts while its token is not revoked and its role covers what the profile demands, up to the commit that signs', async () => {
    await using lab = await open(await newUrl());
    const { api, file, judge, grace, linus, named, revoke, declare, show, pipeline } = lab;
    const id = await file();
    const gone = await named('mallory', 'operator');
    await judge(gone.token, id);
    await revoke(gone.tokenId);
    const one = await judge(grace, id);
    assert.deepEqual([one.json.status, one.json.approvers], ['waiting', ['grace']], 'whose token was revoked approved of nothing');
    await declare(declared('{ count: 2, role: admin, within: 2h }'));
    assert.equal((await judge(linus, id)).status, 403, 'an operator is not enough any more');
    assert.deepEqual((await show(pipeline.token, id)).json.approvers, [], 'nor is what one said before');
    const [ann, bob] = [await named('ann', 'admin'), await named('bob', 'admin')];
    await judge(ann.token, id);
    // Revoked between the approval and the signature, by another server: what is read outside of the commit is old.
    const { authorities, startOrder } = api;
    const database: typeof api.database = {
      ...api.database,
      queries: api.database.queries,
      commit: async (unit) => {
        const made = await api.database.commit(unit);
        if (api.entries.filter(({ type }) => type === 'issuance-request.approved').length === 4) await endAccessTokenOf(ann.tokenId);
        return made;
      },
    };
    const endAccessTokenOf = async (tokenId: typeof ann.tokenId) =>
      void (await api.database.commit((unit) => endAccessToken(unit.queries, tokenId, api.clock.now())));
    const principal = { tokenId: bob.tokenId, name: 'bob', role: 'admin', scope: '*' } as const;
    const judged = await approveRequest(
      { database, authorities, startOrder },
      { id, principal, actor: { kind: 'person', name: 'bob' } },
      api.clock.now(),
    );
    assert.deepEqual([judged.status, await countOf(api)], ['waiting', 0]);
    assert.equal((await judge((await named('ann', 'admin')).token, id)).json.status, 'issued', 'she says it again by her new token');
  });

  test('an approver whose token ended on the way approves of nothing', async () => {
    await using lab = await open(await newUrl(), '{ count: 1 }');
    const { api, file, tokens, revoke } = lab;
    const id = await file();
    const { tokenId } = tokens.grace;
    await revoke(tokenId);
    const judgement = {
      id,
      principal: { tokenId, name: 'Grace', role: 'operator', scope: '*' },
      actor: { kind: 'person', name: 'Grace' },
    } as const;
    await assert.rejects(approveRequest(api, judgement, api.clock.now()), { code: 'forbidden', message: /token has ended/ });
    assert.equal(await countOf(api), 0);
  });

  test('a profile that another server changed a moment ago signs nothing by what it was', async () => {
    await using lab = await open(await newUrl(), '{ count: 1 }');
    const { api, file, judge, grace, show, pipeline, declare } = lab;
    const id = await file();
    const { profiles } = api.authorities;
    const held = profiles.find('test', 'payment' as ProfileName)!;
    // This server has not read it yet.
    const stale = { ...api.authorities, profiles: { ...builtInProfiles, find: () => held } };
    await declare(declared('{ count: 2, role: operator, within: 2h }'));
    const judgement = {
      id,
      principal: { tokenId: lab.tokens.grace.tokenId, name: 'Grace', role: 'operator', scope: '*' },
      actor: { kind: 'person', name: 'Grace' },
    } as const;
    const judged = await approveRequest({ ...api, authorities: stale }, judgement, api.clock.now());
    assert.deepEqual([judged.status, await countOf(api)], ['waiting', 0]);
    assert.deepEqual((await show(pipeline.token, id)).json.approvals, { needed: 2, role: 'operator' });
    assert.equal((await judge(grace, id)).json.status, 'waiting');
    assert.equal((await judge(lab.linus, id)).json.status, 'issued');
  });

  test('one who asks without end is stopped, and the others are not', async () => {
    await using lab = await open(await newUrl());
    const { api, ask, named, pipeline } = lab;
    await lab.file();
    const [filed] = (await listOpen(api.database.queries, 1)) as [WaitingRequest];
    await api.database.commit(async ({ queries }) => {
      for (let count = 1; count < 100; count++)
        await insertWaiting(queries, { ...filed, id: newEntityId('request', api.clock.now()), digest: String(count) });
    });
    const refused = await ask(pipeline.token);
    assert.deepEqual([refused.status, refused.json.code], [429, 'rate-limited']);
    assert.match(refused.json.detail, /100 of yours/);
    const other = (await named('other', 'ci')).token;
    assert.equal((await ask(other)).status, 202);
    await api.database.commit(async ({ queries }) => {
      for (let count = 101; count < 1_000; count++)
        await insertWaiting(queries, {
          ...filed,
          id: newEntityId('request', api.clock.now()),
          digest: String(count),
          asker: `ci-${count}`,
        });
    });
    const full = await ask((await named('third', 'ci')).token);
    assert.deepEqual([full.status, full.json.code], [429, 'rate-limited']);
    assert.match(full.json.detail, /1000 wait for approval/);
  });

  test('one that cannot be issued keeps no other waiting', async () => {
    await using lab = await open(await newUrl(), '{ count: 1, within: 2h }');
    const { api, file, show, pipeline } = lab;
    const late = await file();
    const [filed] = (await listOpen(api.database.queries, 1)) as [WaitingRequest];
    const broken = newEntityId('request', api.clock.now());
    await api.database.commit(async ({ queries }) => {
      const content = { ...filed.content, csr: '' };
      await insertWaiting(queries, { ...filed, id: broken, content, expiresAt: filed.expiresAt - MINUTE_MS });
      await putApproval(queries, { id: broken, approver: 'grace', tokenId: lab.tokens.grace.tokenId }, api.clock.now());
    });
    api.clock.advance(2 * HOUR_MS);
    await assert.rejects(reconcileRequests(api, api.clock.now()), { name: 'AggregateError' });
    assert.equal((await show(pipeline.token, late)).json.status, 'expired');
  });

  test('a renewal waits too', async () => {
    await using lab = await open(await newUrl(), '{ count: 1 }');
    const { api, file, judge, grace, pipeline } = lab;
    const { serial } = (await judge(grace, await file())).json;
    const renewal = await api.call({
      method: 'POST',
      path: `/v1/certificates/${serial}/renewal`,
      token: pipeline.token,
      body: { csr: csrOf() },
    });
    assert.equal(renewal.status, 202, renewal.text);
    assert.equal((await judge(grace, renewal.json.request.id)).json.status, 'issued');
  });
});
