import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinRequest, openTestAuthorities, orders, place, trustDomain } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { HOUR_MS, MINUTE_MS } from '../../core/time/instant.ts';
import { makeSignal } from '../../platform/clock/signal.ts';
import { createJoinToken } from '../access/create-join-token.ts';
import { listLiveJoinTokens } from '../access/join-token-store.ts';
import { findCertificate, insertReservation, settleReservation } from '../ca/certificate-store.ts';
import { issueCertificate } from '../ca/issue-certificate.ts';
import { listCertificates } from '../ca/search-certificates.ts';
import { applyDeclaration } from '../inventory/apply-declaration.ts';
import { parseDeclaration } from '../inventory/parse-declaration.ts';
import { findDeclaredProxy } from '../inventory/store.ts';
import { registerProxy } from './register-proxy.ts';
import { ProxyRetirement } from './retire-proxies.ts';
import { listJoinedProxyIds } from './joined-proxy-store.ts';

const NOW = 1_800_000_000_000;
const ada = { kind: 'person', name: 'ada' } as const;
const document = (lines: string): string => `apiVersion: countersign/v1\n${lines}`;
const proxy = (name: string, more = 'service: orders\nrole: sidecar'): string => document(`kind: Proxy\nname: ${name}\n${more}`);

/** Two replicas of one service, both joined, on a real CA. */
async function open(url: string) {
  const lab = await openTestAuthorities(url, NOW);
  const { database, authorities } = lab;
  let told = 0;
  const changed = makeSignal();
  changed.subscribe(() => told++);
  let graceMs = 0;
  const retirement = new ProxyRetirement({ database, changed, longestGraceMs: () => graceMs });
  const apply = (...documents: readonly string[]) =>
    applyDeclaration(
      { database, place: { trustDomain, ...place }, changed: makeSignal() },
      parseDeclaration(documents.join('\n---\n')),
      ada,
      NOW,
    );
  await apply(document('kind: Service\nname: orders\nowner: shop'), proxy('orders-1'), proxy('orders-2'));
  const idOf = async (name: string): Promise<EntityId<'proxy'>> => (await findDeclaredProxy(database.queries, place.environment, name))!.id;
  const join = async (proxyId: EntityId<'proxy'>, proxyName: string) => {
    const joiner = { proxyId, proxyName, spiffeId: orders, role: 'sidecar', ...place, version: '1', capabilities: [] } as const;
    return issueCertificate({ database, authorities }, joinRequest({ proxyId, claim: (unit) => registerProxy(unit, joiner, NOW) }), NOW);
  };
  const tokenFor = async (proxyId: EntityId<'proxy'>, proxyName: string) =>
    createJoinToken(
      { database },
      {
        ...place,
        spiffeId: orders,
        role: 'sidecar',
        proxyId,
        proxyName,
        ttlMs: MINUTE_MS,
        rootSpkiSha256: 'ab'.repeat(32),
        controlPlane: orders,
      },
      ada,
      NOW,
    );
  const revokedOf = async (proxyId: EntityId<'proxy'>) =>
    (await listCertificates(database.queries, { environments: '*', proxyId, status: 'revoked', limit: 9 })).map(
      ({ revocationReason }) => revocationReason,
    );
  return { ...lab, apply, idOf, join, tokenFor, revokedOf, retirement, told: () => told, grant: (ms: number) => void (graceMs = ms) };
}

forEachDatabase('a proxy that is removed from the inventory', (newUrl) => {
  test('loses its certificates, its join tokens and its place; its replica keeps all of them', async () => {
    await using lab = await open(await newUrl());
    const { database, authorities } = lab;
    const [one, two] = [await lab.idOf('orders-1'), await lab.idOf('orders-2')];
    const [held] = [await lab.join(one, 'orders-1'), await lab.join(one, 'orders-1'), await lab.join(two, 'orders-2')];
    for (const [id, name] of [
      [one, 'orders-1'],
      [two, 'orders-2'],
    ] as const)
      await lab.tokenFor(id, name);
    const commits = lab.commits();
    assert.equal(await lab.retirement.reconcile(NOW), 0);
    assert.equal(lab.commits(), commits, 'while it is declared nothing is done');
    await lab.apply(document('kind: Proxy\nname: orders-1\nstate: absent'));
    assert.equal(await lab.retirement.reconcile(NOW), 1);
    assert.deepEqual(await lab.revokedOf(one), ['cessationOfOperation', 'cessationOfOperation']);
    assert.deepEqual(await lab.revokedOf(two), []);
    assert.deepEqual(await listJoinedProxyIds(database.queries), [two]);
    assert.deepEqual(
      (await listLiveJoinTokens(database.queries, NOW)).map(({ proxyId }) => proxyId),
      [two],
    );
    assert.equal(lab.told(), 1);
    const [entry, ...more] = lab.entriesOf('proxy.retired');
    assert.deepEqual(more, []);
    assert.equal(entry!.actor.kind, 'system');
    const { name, certificates, proxyId } = entry!.data;
    assert.deepEqual({ name, certificates, proxyId }, { name: 'orders-1', certificates: 2, proxyId: one });
    assert.equal(lab.entriesOf('certificate.revoked').length, 2);
    const predecessor = { issuerKeySha256: held!.issuerKeySha256, serial: held!.serial };
    const renewal = issueCertificate({ database, authorities }, joinRequest({ door: 'renewal', proxyId: one, predecessor }), NOW);
    await assert.rejects(renewal, { code: 'issuance-refused' });
    assert.equal(await lab.retirement.reconcile(NOW + 2 * MINUTE_MS), 0);
    assert.equal(lab.entriesOf('proxy.retired').length, 1);
  });

  test('loses what ended within the grace too, by which it could have itself issued another; what ended before is left alone', async () => {
    for (const [graceMs, revoked] of [
      [HOUR_MS, ['cessationOfOperation']],
      [0, []],
    ] as const) {
      await using lab = await open(await newUrl());
      lab.grant(graceMs);
      const proxyId = await lab.idOf('orders-1');
      const { issuerKeySha256, serial } = await lab.join(proxyId, 'orders-1');
      const { notAfter } = (await findCertificate(lab.database.queries, issuerKeySha256, serial))!;
      await lab.apply(document('kind: Proxy\nname: orders-1\nstate: absent'));
      assert.equal(await lab.retirement.reconcile(notAfter + MINUTE_MS), 1);
      assert.deepEqual(await lab.revokedOf(proxyId), revoked);
    }
  });

  test('loses a token that nobody used yet, though it never joined', async () => {
    await using lab = await open(await newUrl());
    await lab.tokenFor(await lab.idOf('orders-1'), 'orders-1');
    await lab.apply(document('kind: Proxy\nname: orders-1\nstate: absent'));
    assert.equal(await lab.retirement.reconcile(NOW), 1);
    assert.deepEqual(await listLiveJoinTokens(lab.database.queries, NOW), []);
    assert.equal(lab.told(), 0, 'there was no certificate');
  });

  test('loses a certificate too that was under way when it was removed', async () => {
    await using lab = await open(await newUrl());
    const { queries } = lab.database;
    const proxyId = await lab.idOf('orders-1');
    const issued = await lab.join(proxyId, 'orders-1');
    const record = (await findCertificate(queries, issued.issuerKeySha256, issued.serial))!;
    const underWay = { ...record, serial: Buffer.alloc(17, 7) };
    await lab.database.commit((unit) => insertReservation(unit.queries, underWay));
    await lab.apply(document('kind: Proxy\nname: orders-1\nstate: absent'));
    assert.equal(await lab.retirement.reconcile(NOW), 0);
    assert.deepEqual(await lab.revokedOf(proxyId), ['cessationOfOperation']);
    assert.equal(await lab.retirement.reconcile(NOW), 0);
    assert.equal(lab.entriesOf('proxy.retired').length, 1, 'waiting is not news');
    await lab.database.commit((unit) => settleReservation(unit.queries, underWay, { status: 'issued', der: record.der! }));
    assert.equal(await lab.retirement.reconcile(NOW), 1);
    assert.equal((await lab.revokedOf(proxyId)).length, 2);
    assert.deepEqual(await listJoinedProxyIds(queries), []);
  });

  test('and declared again under its name is another one, which the old certificate does not make it', async () => {
    await using lab = await open(await newUrl());
    const before = await lab.idOf('orders-1');
    await lab.join(before, 'orders-1');
    await lab.apply(document('kind: Proxy\nname: orders-1\nstate: absent'));
    await lab.apply(proxy('orders-1'));
    const after = await lab.idOf('orders-1');
    assert.notEqual(after, before);
    await lab.join(after, 'orders-1');
    assert.equal(await lab.retirement.reconcile(NOW), 1);
    assert.deepEqual([await lab.revokedOf(before), await lab.revokedOf(after)], [['cessationOfOperation'], []]);
    assert.deepEqual(await listJoinedProxyIds(lab.database.queries), [after]);
  });
});
