import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createJoinToken } from '../../src/control/access/create-join-token.ts';
import { revokeToken } from '../../src/control/access/revoke-token.ts';
import type { AuditedUnit } from '../../src/control/audit/entry.ts';
import { pinnedRoot } from '../../src/control/ca/authorities.ts';
import type { IssuedCertificate } from '../../src/control/ca/issuance-request.ts';
import { issueCertificate } from '../../src/control/ca/issue-certificate.ts';
import { renewByCertificate } from '../../src/control/ca/renew-by-certificate.ts';
import { revokeCertificate } from '../../src/control/ca/revoke-certificate.ts';
import { suspendIdentity } from '../../src/control/ca/suspend-identity.ts';
import { claimGrant } from '../../src/control/grants/claim-grant.ts';
import { makeGrant } from '../../src/control/grants/make-grant.ts';
import { findGrant } from '../../src/control/grants/store.ts';
import { controlPlaneSpiffeId } from '../../src/core/identity/spiffe-id.ts';
import { Problem } from '../../src/core/problems/problem.ts';
import { HOUR_MS } from '../../src/core/time/instant.ts';
import { buildCertificateRequest } from '../../src/core/x509/certificate-request.ts';
import { joinMethod } from '../../src/protocols/enrollment/join.ts';
import { makeAcmeClient, newKey } from '../support/acme-client.ts';
import { proveAll } from '../support/acme-flow.ts';
import { openAcmeLab } from '../support/acme-lab.ts';
import {
  ada,
  joinRequest,
  newTestRequest,
  openTestAuthorities,
  orders,
  place,
  type TestAuthorities,
  trustDomain,
} from '../support/authorities.ts';
import { answeredOrWaiting, CommitGate } from '../support/commit-gate.ts';
import { forEachDatabase } from '../support/databases.ts';
import { makerOf } from '../support/maker.ts';

const now = 1_800_000_000_000;
const workload = () => joinRequest({ door: 'rest', proxyId: null, asker: { role: 'operator', scope: '*', spiffeId: null } });
const suspend = (ca: TestAuthorities) => suspendIdentity(ca, { spiffeId: orders, region: 'local', reason: 'stolen' }, ada, now);
const revoke = (ca: TestAuthorities, { issuerKeySha256, serial, notBefore }: IssuedCertificate, reason: 'superseded' | 'keyCompromise') =>
  revokeCertificate(ca, { issuerKeySha256, serial, reason }, ada, notBefore + HOUR_MS);

/** What one server is asked for, and what the other does meanwhile that forbids it. */
type Race = { readonly ask: () => Promise<unknown>; readonly forbid: () => Promise<unknown> };

/** By each door at `one`, whose commits the gate can hold; `two` is the other server. */
const doors: { readonly [name: string]: (one: TestAuthorities, two: TestAuthorities) => Promise<Race> } = {
  'an issuance, of a suspension': async (one, two) => ({
    ask: () => issueCertificate(one, workload(), now),
    forbid: () => suspend(two),
  }),
  'an issuance, of a revocation that tells of a key in other hands': async (one, two) => {
    const { csr } = newTestRequest();
    const first = await issueCertificate(two, { ...workload(), csr }, now);
    return { ask: () => issueCertificate(one, { ...workload(), csr }, now), forbid: () => revoke(two, first, 'keyCompromise') };
  },
  'a renewal by certificate, of the revocation of that certificate': async (one, two) => {
    const held = await issueCertificate(one, workload(), now);
    const deps = { ...one, refused: () => {} };
    return {
      ask: () => renewByCertificate(deps, { chain: held.chain, csr: newTestRequest().csr }, now),
      forbid: () => revoke(two, held, 'superseded'),
    };
  },
  'a join, of a suspension': async (one, two) => {
    const token = await createJoinToken(
      one,
      {
        spiffeId: orders,
        role: 'sidecar',
        proxyName: 'one',
        ...place,
        ttlMs: HOUR_MS,
        rootSpkiSha256: pinnedRoot(one.authorities).spkiSha256,
        controlPlane: controlPlaneSpiffeId(trustDomain, place.environment),
      },
      ada,
      now,
    );
    const { handle } = joinMethod({
      issue: (request, at) => issueCertificate(one, request, at),
      queries: one.database.queries,
      roots: () => [],
      clock: { now: () => now },
      machineTokens: null,
    });
    const request = { token: token.reveal(), csr: buildCertificateRequest({ uris: [orders] }, newKey()) };
    return { ask: () => handle(request as never, { remote: 'test' } as never), forbid: () => suspend(two) };
  },
};

async function openPair(url: string) {
  const gate = new CommitGate();
  const one = await openTestAuthorities(url, now, { wrap: gate.wrap });
  const two = await openTestAuthorities(url, now, { reopen: one.kek });
  return {
    gate,
    one,
    two,
    async [Symbol.asyncDispose]() {
      gate[Symbol.dispose]();
      await one[Symbol.asyncDispose]();
      await two[Symbol.asyncDispose]();
    },
  };
}

forEachDatabase('two servers on one database', (newUrl, kind) => {
  // SQLite lets no second writer begin.
  if (kind === 'sqlite') return;

  for (const [name, prepare] of Object.entries(doors)) {
    test(`${name}: answered only after the certificate that was being recorded, and the next is refused`, async () => {
      await using pair = await openPair(await newUrl());
      const { gate, one, two } = pair;
      const { ask, forbid } = await prepare(one, two);
      const held = gate.hold('certificate.issued');
      const asked = ask();
      await held.reached;
      const forbidden = forbid();
      assert.equal(await answeredOrWaiting(forbidden, two), 'waiting');
      held.release();
      await asked;
      await forbidden;
      await assert.rejects(ask(), { code: /issuance-refused|token-refused/ });
    });

    test(`${name}: answered between the two commits, it withholds the certificate`, async () => {
      await using pair = await openPair(await newUrl());
      const { gate, one, two } = pair;
      const { ask, forbid } = await prepare(one, two);
      const before = one.entriesOf('certificate.issued').length;
      const held = gate.hold('certificate.reserved');
      const asked = ask();
      await held.reached;
      const forbidden = forbid();
      assert.equal(await answeredOrWaiting(forbidden, two), 'waiting');
      held.release();
      await assert.rejects(asked, { code: 'issuance-refused' });
      await forbidden;
      assert.equal(one.entriesOf('certificate.withheld').length, 1);
      assert.equal(one.entriesOf('certificate.issued').length, before);
    });
  }

  test('a use of a one-time grant: on record before the end of the token that made it is answered, and the next is refused', async () => {
    await using pair = await openPair(await newUrl());
    const { gate, one, two } = pair;
    const maker = await makerOf(one, now, { role: 'operator' });
    const bounds = { profile: 'workload', spiffeId: orders, dnsNames: [], ipAddresses: [] } as const;
    const wanted = { door: 'cmp', ...place, name: 'orders', role: 'ci', bounds, uses: 9, ttlMs: HOUR_MS } as const;
    const { id, door } = await makeGrant(one, wanted, maker, now);
    const claim = async (unit: AuditedUnit) => {
      const fault = await claimGrant(unit, { id, door, by: 'one', spkiSha256: null }, now);
      if (fault !== null) throw new Problem('token-refused', fault);
    };
    const ask = (at: TestAuthorities) => issueCertificate(at, { ...workload(), csr: newTestRequest().csr, claim }, now);
    const held = gate.hold('certificate.reserved');
    const asked = ask(one);
    await held.reached;
    const revoked = revokeToken(two, maker.principal.tokenId, ada, now);
    assert.equal(await answeredOrWaiting(revoked, two), 'waiting');
    held.release();
    await asked;
    await revoked;
    for (const server of [one, two]) await assert.rejects(ask(server), { code: 'token-refused', message: /no token any more/ });
    assert.equal((await findGrant(two.database.queries, door, id))?.used, 1);
  });

  for (const [type, status] of [
    ['certificate.issued', 'valid'],
    ['certificate.reserved', 'invalid'],
  ] as const) {
    test(`an order that ACME finalizes, of a key in other hands, told while ${type} is being committed: ${status}`, async () => {
      const url = await newUrl();
      const gate = new CommitGate();
      await using lab = await openAcmeLab(url, { reopen: { wrap: gate.wrap } });
      await using two = await openTestAuthorities(url, lab.clock.now(), { reopen: lab.ca.kek });
      using _released = gate;
      const { csr, privateKey } = newTestRequest();
      const first = await issueCertificate(two, { ...workload(), csr }, lab.clock.now());
      const client = await makeAcmeClient(lab.base, lab.rootFile);
      await client.register();
      const order = await client.order(['a.localhost']);
      await proveAll(lab, client, order);
      const held = gate.hold(type);
      const finalized = client.post(order.json.finalize, { csr: client.csr({ dnsNames: ['a.localhost'] }, privateKey) });
      await held.reached;
      const revoked = revoke(two, first, 'keyCompromise');
      assert.equal(await answeredOrWaiting(revoked, two), 'waiting');
      held.release();
      await revoked;
      await finalized;
      const settled = await client.post(String(order.headers['location']), null);
      assert.equal(settled.json.status, status, settled.text);
    });
  }
});
