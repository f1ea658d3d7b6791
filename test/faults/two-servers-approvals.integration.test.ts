import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createToken } from '../../src/control/access/create-token.ts';
import { revokeToken } from '../../src/control/access/revoke-token.ts';
import { approveRequest } from '../../src/control/ca/judge-request.ts';
import { requestCertificate } from '../../src/control/ca/request-certificate.ts';
import type { WaitingRequest } from '../../src/control/ca/waiting-request.ts';
import { findWaiting } from '../../src/control/ca/waiting-store.ts';
import { declareExternalAuthority } from '../../src/control/external/declare-authority.ts';
import { listExternalOrders } from '../../src/control/external/order-store.ts';
import { requestExternalCertificate } from '../../src/control/external/request-certificate.ts';
import { makeStartOrder } from '../../src/control/external/start-order.ts';
import { applyDeclaration } from '../../src/control/inventory/apply-declaration.ts';
import { parseDeclaration } from '../../src/control/inventory/parse-declaration.ts';
import { DeclaredProfiles } from '../../src/control/policies/declared-profiles.ts';
import type { ProfileName } from '../../src/core/issuance/profile.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../../src/core/x509/certificate-request.ts';
import { newKey } from '../support/acme-client.ts';
import { ada, openTestAuthorities, place, type TestAuthorities, trustDomain } from '../support/authorities.ts';
import { answeredOrWaiting, CommitGate } from '../support/commit-gate.ts';
import { forEachDatabase } from '../support/databases.ts';

const now = 1_800_000_000_000;
const payment = 'payment' as ProfileName;
const declared = (more: string): string =>
  `apiVersion: countersign/v1\nkind: Profile\nname: payment\nbase: server\naskers: { rest: {}, external: {} }\n${more}`;
const NAMES = ['www.acme.test'];

/** One server whose commits the gate can hold, another that withdraws what it rests on, and a request that lacks one approval. */
async function open(url: string, door: 'rest' | 'external') {
  const gate = new CommitGate();
  const one = await openTestAuthorities(url, now, { wrap: gate.wrap });
  const two = await openTestAuthorities(url, now, { reopen: one.kek });
  const profiles = new DeclaredProfiles();
  const authorities = { ...one.authorities, profiles };
  const deps = { ...one, authorities };
  const startOrder = makeStartOrder(deps);
  const declareProfile = (by: TestAuthorities, more: string) =>
    applyDeclaration(
      { database: by.database, place: { trustDomain, ...place }, changed: by.changed },
      parseDeclaration(declared(more)),
      ada,
      now,
    );
  const declareAuthority = (by: TestAuthorities, allowedNames: readonly string[], at: number) => {
    const settings = {
      directoryUrl: 'https://ca.example/directory',
      anchorsPem: null,
      rootsPem: null,
      contacts: [],
      bindingKeyId: null,
      challenge: { kind: 'http-01' },
      allowedNames,
      judgedBy: [payment],
      profile: null,
      preferredChain: null,
    } as const;
    return declareExternalAuthority(
      by,
      { ...place, name: 'public', settings, bindingKey: null, webhookToken: null, dnsKey: null },
      ada,
      at,
    );
  };
  await declareProfile(one, 'approvals: { count: 2 }');
  await profiles.reload(one.database.queries);
  const authority = await declareAuthority(one, NAMES, now);
  const person = async (name: string, role: 'operator' | 'ci' = 'operator') => {
    const { tokenId } = await createToken({ database: one.database }, { name, role, scope: '*', ...place, ttlMs: null }, ada, now);
    return { principal: { tokenId, name, role, scope: '*' }, actor: { kind: 'person', name } } as const;
  };
  const [release, grace, linus] = [await person('release', 'ci'), await person('grace'), await person('linus')];
  const csr = parseCertificateRequest(buildCertificateRequest({ dnsNames: NAMES }, newKey()));
  const asker = { role: 'ci', scope: '*', spiffeId: null, name: 'release' } as const;
  const { tokenId } = release.principal;
  const common = { profile: payment, asker, csr } as const;
  const names = { dns: NAMES, ip: [] };
  const own = { ...common, ...place, door: 'rest', actor: release.actor, spiffeId: null, names, proxyId: null } as const;
  const other = { ...common, authority, askedBy: release.actor, renews: null, endpointId: null, approvals: null };
  const filed = await (door === 'rest'
    ? requestCertificate(deps, own, tokenId, now)
    : requestExternalCertificate(deps, other, tokenId, now));
  assert.ok(filed.kind === 'waiting');
  const { id } = filed.request;
  const approve = (by: typeof grace) => approveRequest({ ...deps, startOrder }, { id, ...by }, now);
  await approve(grace);
  return {
    gate,
    one,
    two,
    last: () => approve(linus),
    find: async (): Promise<WaitingRequest> => (await findWaiting(one.database.queries, id))!,
    reload: () => profiles.reload(one.database.queries),
    orders: async () => (await listExternalOrders(one.database.queries, '*', 5)).length,
    /** What the other server does meanwhile that forbids it. */
    forbid: {
      "the end of an approver's token": () => revokeToken(two, grace.principal.tokenId, ada, now),
      'the end of the token of who asked': () => revokeToken(two, tokenId, ada, now),
      'another profile': () => declareProfile(two, 'names: { dns: [api.acme.test] }\napprovals: { count: 2 }'),
      ...(door === 'rest' ? {} : { 'another declaration of the CA': () => declareAuthority(two, ['api.acme.test'], now + 1) }),
    } as { readonly [name: string]: () => Promise<unknown> },
    async [Symbol.asyncDispose]() {
      gate[Symbol.dispose]();
      await one[Symbol.asyncDispose]();
      await two[Symbol.asyncDispose]();
    },
  };
}

const kinds = {
  rest: { entry: 'certificate.reserved', end: 'issued' },
  external: { entry: 'external-order.requested', end: 'ordered' },
} as const;
const withdrawals = [
  "the end of an approver's token",
  'the end of the token of who asked',
  'another profile',
  'another declaration of the CA',
];

forEachDatabase('two servers, and the last approval at one of them', (newUrl, kind) => {
  // SQLite lets no second writer begin.
  if (kind === 'sqlite') return;
  for (const door of ['rest', 'external'] as const) {
    for (const name of withdrawals.slice(0, door === 'rest' ? 3 : 4)) {
      test(`${door}: ${name} is answered after what was being decided, and overlooked by nothing after it`, async () => {
        await using lab = await open(await newUrl(), door);
        const { gate, two, last, find, forbid } = lab;
        const { entry, end } = kinds[door];
        const held = gate.hold(entry);
        const approved = last();
        await held.reached;
        const forbidden = forbid[name]!();
        assert.equal(await answeredOrWaiting(forbidden, two), 'waiting');
        held.release();
        await forbidden;
        await approved;
        assert.equal((await find()).status, end, 'it was decided before');
      });

      test(`${door}: ${name} that was answered before leaves nothing to sign or to order`, async () => {
        await using lab = await open(await newUrl(), door);
        const { one, last, find, forbid, reload, orders } = lab;
        await forbid[name]!();
        const { status } = await last();
        // What this server has not read yet it does not decide by.
        assert.ok(status === 'waiting' || status === 'refused', status);
        await reload();
        assert.deepEqual([(await find()).status, await orders(), one.entriesOf('certificate.reserved').length], [status, 0, 0]);
      });
    }
  }
});
