import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { parseJoinToken } from '../../core/identity/join-token.ts';
import { controlPlaneSpiffeId, parseSpiffeId, probeSpiffeId, serviceSpiffeId } from '../../core/identity/spiffe-id.ts';
import { parseTrustDomain } from '../../core/identity/trust-domain.ts';
import { type EntityId, isEntityId } from '../../core/ids/entity-id.ts';
import { Secret } from '../../core/secrets/secret.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../core/time/instant.ts';
import { openDatabase } from '../../platform/db/open-database.ts';
import type { AuditedDatabase, StagedEntry } from '../audit/entry.ts';
import { authenticate } from './authenticate.ts';
import { createBootstrapToken, exchangeBootstrapToken, needsBootstrap } from './bootstrap-token.ts';
import { checkJoinToken, claimJoinToken, type JoinClaim } from './claim-join-token.ts';
import { createJoinToken, type JoinTokenRequest } from './create-join-token.ts';
import { createToken, type TokenRequest } from './create-token.ts';
import { revokeJoinToken } from './revoke-join-token.ts';
import { revokeToken } from './revoke-token.ts';
import { findJoinToken, listOpenJoinTokens } from './join-token-store.ts';
import { sweepJoinTokens } from './sweep-join-tokens.ts';

const now = 1_800_000_000_000;
const place = { environment: 'production', region: 'local' };
const ada = { kind: 'person', name: 'ada' } as const;
const trustDomain = parseTrustDomain('acme.example');
const orders = serviceSpiffeId(trustDomain, 'production', 'orders');
const keyA = 'a'.repeat(64);
const keyB = 'b'.repeat(64);

const tokenRequest: TokenRequest = { name: 'ada', role: 'operator', scope: ['production'], ...place, ttlMs: HOUR_MS };
const joinRequest: JoinTokenRequest = {
  spiffeId: orders,
  role: 'sidecar',
  proxyName: 'orders-1',
  ...place,
  ttlMs: HOUR_MS,
  rootSpkiSha256: 'c'.repeat(64),
  controlPlane: controlPlaneSpiffeId(trustDomain, 'production'),
};

/** The database with every sealed entry in a list, in the order of the log. */
async function open(url: string) {
  const entries: StagedEntry['entry'][] = [];
  const database: AuditedDatabase = await openDatabase<StagedEntry>({
    url,
    seal: async (_queries, staged) => void entries.push(...staged.map(({ entry }) => entry)),
  });
  return { database, entries, types: () => entries.map(({ type }) => type), [Symbol.asyncDispose]: () => database[Symbol.asyncDispose]() };
}

async function claimOf(database: AuditedDatabase, request: Partial<JoinTokenRequest> = {}, csrSpkiSha256 = keyA): Promise<JoinClaim> {
  const { tokenId, secret } = parseJoinToken((await createJoinToken({ database }, { ...joinRequest, ...request }, ada, now)).reveal());
  return { tokenId, secret, csrSpkiSha256 };
}

forEachDatabase('access', (newUrl) => {
  test('a named token authenticates its holder until it expires or is revoked', async () => {
    await using opened = await open(await newUrl());
    const { database } = opened;
    const { tokenId, token } = await createToken({ database }, tokenRequest, ada, now);
    assert.deepEqual(await authenticate({ database }, token, now), { tokenId, name: 'ada', role: 'operator', scope: ['production'] });
    assert.equal(await authenticate({ database }, token, now + HOUR_MS), null, 'expired');
    await revokeToken({ database }, tokenId, ada, now);
    assert.equal(await authenticate({ database }, token, now), null, 'revoked');
    await assert.rejects(revokeToken({ database }, tokenId, ada, now), { code: 'state-conflict' });
    await assert.rejects(revokeToken({ database }, 'token_none', ada, now), { code: 'not-found' });
    assert.deepEqual(opened.types(), ['token.created', 'token.revoked']);
    assert.equal(JSON.stringify(opened.entries).includes(token.reveal().split('.')[2]!), false, 'no secret in the log');
  });

  test('authenticate() gives null for every text that is not a live named token', async () => {
    await using opened = await open(await newUrl());
    const { database } = opened;
    const mine = (await createToken({ database }, tokenRequest, ada, now)).token.reveal();
    const other = (await createToken({ database }, tokenRequest, ada, now)).token.reveal();
    const bootstrap = (await createBootstrapToken({ database }, place, now)).reveal();
    const [, id] = mine.split('.');
    const mixed = `cst1.${id}.${other.split('.')[2]}`;
    const texts = ['', 'x', 'cst1..', mixed, bootstrap, mine.slice(0, -1), `${mine}\0`, `' or 1=1 --`, `cst1.${id}.${'A'.repeat(43)}`];
    for (const text of texts) assert.equal(await authenticate({ database }, new Secret(text), now), null, text);
  });

  test('createToken() refuses names, roles, scopes and lives that it does not know', async () => {
    await using opened = await open(await newUrl());
    const refused: readonly (readonly [string, Partial<TokenRequest>])[] = [
      ['no name', { name: '' }],
      ['a long name', { name: 'x'.repeat(101) }],
      ['a name with an escape sequence', { name: 'ada\u001b[2J' }],
      ['a name that turns the line around', { name: 'ada\u202e' }],
      ['an unknown role', { role: 'root' as never }],
      ['a role of the prototype', { role: 'constructor' as never }],
      ['an empty scope', { scope: [] }],
      ['a scope with a wildcard inside', { scope: ['prod*'] }],
      ['no life', { ttlMs: 0 }],
      ['a negative life', { ttlMs: -1 }],
      ['half a millisecond', { ttlMs: 0.5 }],
      ['forever in numbers', { ttlMs: Number.MAX_SAFE_INTEGER }],
    ];
    for (const [name, change] of refused) {
      await assert.rejects(createToken(opened, { ...tokenRequest, ...change }, ada, now), { code: 'input-invalid' }, name);
    }
    assert.deepEqual(opened.entries, []);
  });

  test('a bootstrap token buys one admin token, within its hour, and only the newest does', async () => {
    await using opened = await open(await newUrl());
    const { database } = opened;
    assert.equal(await needsBootstrap(database.queries, now), true);
    const old = await createBootstrapToken({ database }, place, now);
    const bearer = await createBootstrapToken({ database }, place, now);
    const refused = { code: 'token-refused' };
    await assert.rejects(exchangeBootstrapToken({ database }, { bearer: old, name: 'ada' }, now), refused, 'replaced');
    await assert.rejects(exchangeBootstrapToken({ database }, { bearer, name: 'ada' }, now + HOUR_MS), refused, 'an hour later');
    await assert.rejects(exchangeBootstrapToken({ database }, { bearer: new Secret('cst1.x'), name: 'ada' }, now), refused);
    await assert.rejects(exchangeBootstrapToken({ database }, { bearer, name: '' }, now), { code: 'input-invalid' });
    const named = await createToken({ database }, { ...tokenRequest, role: 'operator' }, ada, now);
    await assert.rejects(
      exchangeBootstrapToken({ database }, { bearer: named.token, name: 'eve' }, now),
      refused,
      'a named token buys nothing',
    );

    const results = await Promise.allSettled(['ada', 'eve'].map((name) => exchangeBootstrapToken({ database }, { bearer, name }, now)));
    assert.deepEqual(results.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'], 'two at once: one wins');
    const won = results.find((result) => result.status === 'fulfilled')!;
    assert.equal((await authenticate({ database }, won.value, now + DAY_MS))?.role, 'admin');
    assert.equal(await needsBootstrap(database.queries, now), false);
    assert.equal(opened.types().filter((type) => type === 'bootstrap-token.exchanged').length, 1);
  });

  test('createJoinToken() refuses identities that the role may not hold', async () => {
    await using opened = await open(await newUrl());
    const probe = probeSpiffeId(trustDomain, 'production');
    const refused: readonly (readonly [string, Partial<JoinTokenRequest>])[] = [
      ['a sidecar as the probe', { spiffeId: probe }],
      ['a sidecar as the control plane', { spiffeId: controlPlaneSpiffeId(trustDomain, 'production') }],
      ['a gateway under the reserved name', { role: 'gateway', spiffeId: parseSpiffeId('spiffe://acme.example/production/countersign') }],
      ['a scanner as a service', { role: 'scanner' }],
      ['a scanner as the control plane', { role: 'scanner', spiffeId: controlPlaneSpiffeId(trustDomain, 'production') }],
      ['a scanner as another environment’s probe', { role: 'scanner', spiffeId: probeSpiffeId(trustDomain, 'staging') }],
      ['another environment', { environment: 'staging' }],
      ['an unknown role', { role: 'root' as never }],
      ['a name with a slash', { proxyName: 'a/b' }],
      ['no name', { proxyName: '' }],
      ['no life', { ttlMs: 0 }],
      ['eight days', { ttlMs: 8 * DAY_MS }],
    ];
    for (const [name, change] of refused) {
      await assert.rejects(createJoinToken(opened, { ...joinRequest, ...change }, ada, now), { code: 'input-invalid' }, name);
    }
    await createJoinToken(opened, { ...joinRequest, role: 'scanner', spiffeId: probe }, ada, now);
    assert.deepEqual(opened.types(), ['join-token.created']);
  });

  test('a join token is claimed by one key; that key may ask again, a few times, while the token lives', async () => {
    await using opened = await open(await newUrl());
    const { database } = opened;
    const claim = await claimOf(database);
    const first = await database.commit((unit) => claimJoinToken(unit, claim, now));
    assert.equal(first.spiffeId, orders);
    assert.equal(isEntityId('proxy', first.proxyId), true);
    const again = await database.commit((unit) => claimJoinToken(unit, claim, now + MINUTE_MS));
    assert.deepEqual(again, first, 'the same grant');
    const refused = { code: 'token-refused' };
    await assert.rejects(
      database.commit((unit) => claimJoinToken(unit, { ...claim, csrSpkiSha256: keyB }, now)),
      refused,
      'another key',
    );
    const held = await checkJoinToken(database.queries, claim, now);
    assert.deepEqual(held.grantTo(claim.csrSpkiSha256), first);
    assert.throws(() => held.grantTo(keyB), refused);
    await assert.rejects(
      database.commit((unit) => claimJoinToken(unit, claim, now + HOUR_MS)),
      refused,
      'expired',
    );
    for (let count = 2; count < 5; count++) await database.commit((unit) => claimJoinToken(unit, claim, now));
    await assert.rejects(
      database.commit((unit) => claimJoinToken(unit, claim, now)),
      refused,
      'too often',
    );
    assert.deepEqual(await listOpenJoinTokens(database.queries, now), []);
  });

  test('a claim is refused, in the same words, for every token that is not open', async () => {
    await using opened = await open(await newUrl());
    const { database } = opened;
    const claim = await claimOf(database);
    const other = await claimOf(database);
    const revoked = await claimOf(database);
    await revokeJoinToken({ database }, revoked.tokenId as never, ada, now);
    await assert.rejects(revokeJoinToken({ database }, revoked.tokenId as never, ada, now), { code: 'state-conflict' });
    await assert.rejects(revokeJoinToken({ database }, 'token_none', ada, now), { code: 'not-found' });
    const cases: readonly (readonly [string, JoinClaim, number])[] = [
      ['unknown', { ...claim, tokenId: 'token_00000000000000000000000000' }, now],
      ['no id', { ...claim, tokenId: '' }, now],
      ['another token’s secret', { ...claim, secret: other.secret }, now],
      ['an empty secret', { ...claim, secret: new Secret('') }, now],
      ['revoked', revoked, now],
      ['expired', claim, now + HOUR_MS],
      ['a key that is no digest', { ...claim, csrSpkiSha256: 'x' }, now],
    ];
    const messages = new Set<string>();
    for (const [name, attempt, at] of cases) {
      const granted = async () => (await checkJoinToken(database.queries, attempt, at)).grantTo(attempt.csrSpkiSha256);
      await assert.rejects(granted(), { code: 'token-refused' }, name);
      await assert.rejects(
        database.commit((unit) => claimJoinToken(unit, attempt, at)),
        (error: Error & { code: string }) => {
          messages.add(error.message);
          return error.code === 'token-refused';
        },
        name,
      );
    }
    assert.equal(messages.size, 1, 'one text for all');
    assert.equal(opened.types().includes('join-token.claimed'), false);
  });

  test('of two keys that claim one token at once, one gets it', async () => {
    await using opened = await open(await newUrl());
    const { database } = opened;
    const claim = await claimOf(database);
    const results = await Promise.allSettled(
      [keyA, keyB].map((csrSpkiSha256) => database.commit((unit) => claimJoinToken(unit, { ...claim, csrSpkiSha256 }, now))),
    );
    assert.deepEqual(results.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
    assert.equal(opened.types().filter((type) => type === 'join-token.claimed').length, 1);
  });

  test('a join token is forgotten some time after its end, used or not, and refused in the same words as ever', async () => {
    await using opened = await open(await newUrl());
    const { database } = opened;
    const [used, unused, later] = [await claimOf(database), await claimOf(database), await claimOf(database, { ttlMs: 2 * HOUR_MS })];
    await database.commit((unit) => claimJoinToken(unit, used, now));
    const idOf = ({ tokenId }: JoinClaim) => findJoinToken(database.queries, tokenId as EntityId<'token'>);
    await sweepJoinTokens({ database }, now + HOUR_MS + 90 * DAY_MS);
    for (const kept of [used, unused]) assert.notEqual(await idOf(kept), null);
    await sweepJoinTokens({ database }, now + HOUR_MS + 90 * DAY_MS + 1);
    for (const gone of [used, unused]) {
      assert.equal(await idOf(gone), null);
      await assert.rejects(checkJoinToken(database.queries, gone, now), { code: 'token-refused' });
    }
    assert.notEqual(await idOf(later), null);
  });

  test('a claim whose commit fails is not made', async () => {
    await using opened = await open(await newUrl());
    const { database } = opened;
    const claim = await claimOf(database);
    const failed = database.commit(async (unit) => {
      await claimJoinToken(unit, claim, now);
      throw new Error('the reservation failed');
    });
    await assert.rejects(failed, /reservation failed/);
    assert.equal((await checkJoinToken(database.queries, claim, now)).grantTo(keyB).spiffeId, orders);
    assert.equal(opened.types().includes('join-token.claimed'), false);
  });
});
