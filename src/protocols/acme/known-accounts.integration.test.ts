import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { sql } from 'kysely';
import { newKey, jwkOf, makeAcmeClient } from '../../../test/support/acme-client.ts';
import { openAcmeLab } from '../../../test/support/acme-lab.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import type { Queries } from '../../platform/db/database.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import { openDatabase } from '../../platform/db/open-database.ts';
import type { Account } from './account.ts';
import { changeAccountKey, findAccount, insertAccount, setContacts, updateAccount } from './account-store.ts';
import { parseJwk } from './jwk.ts';
import { KnownAccounts } from './known-accounts.ts';

const now = 1_800_000_000_000;

/** One database as two servers have it. */
async function openTwo(url: string) {
  const stack = new AsyncDisposableStack();
  const [here, there] = [stack.use(await openDatabase({ url })), stack.use(await openDatabase({ url }))];
  const known = [new KnownAccounts(here), new KnownAccounts(there)] as const;
  return { here, there, known, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

function newAccount(): Account {
  const { jwk, thumbprint } = parseJwk(jwkOf(newKey()));
  const place = { environment: 'production', region: 'local' };
  const rest = { contacts: ['mailto:a@acme.example'], status: 'valid', terms: null, binding: null, createdAt: now } as const;
  return { id: newEntityId('account', now), ...place, jwk, thumbprint, ...rest };
}

forEachDatabase('KnownAccounts', (newUrl) => {
  const changes: readonly (readonly [string, (queries: Queries, account: Account) => Promise<unknown>])[] = [
    ['a deactivation', (queries, { id }) => updateAccount(queries, id, { status: 'deactivated' })],
    ['another key', (queries, { id, thumbprint }) => changeAccountKey(queries, id, { from: thumbprint, to: parseJwk(jwkOf(newKey())) })],
    ['an erased contact', (queries, { id }) => setContacts(queries, id, [])],
    [
      "an operator's own statement",
      (queries, { id }) => sql`update acme_accounts set status = 'revoked' where id = ${id}`.execute(queries),
    ],
    ['a deleted row', (queries, { id }) => sql`delete from acme_accounts where id = ${id}`.execute(queries)],
  ];
  test('a change, made here or at another server, is seen by the very next request of both', async () => {
    await using two = await openTwo(await newUrl());
    const stays = newAccount();
    await two.here.commit(({ queries }) => insertAccount(queries, stays));
    for (const [name, change] of changes) {
      for (const database of [two.here, two.there]) {
        const account = newAccount();
        await database.commit(({ queries }) => insertAccount(queries, account));
        await setImmediate();
        for (const known of two.known) assert.deepEqual(await known.find(account.id), account);
        await database.commit((unit) => change(unit.queries, account));
        // Where it was made it is seen at once; the other has the turn that it reads in to end.
        await setImmediate();
        const now = await findAccount(database.queries, account.id);
        assert.notDeepEqual(now, account, name);
        for (const known of two.known) {
          assert.deepEqual(await known.find(account.id), now, name);
          assert.deepEqual(await known.find(stays.id), stays, 'the others stay as they were');
        }
      }
    }
  });

  test('a change that was answered is seen, whatever was asked while it was under way', async () => {
    await using two = await openTwo(await newUrl());
    const [known] = two.known;
    for (let round = 0; round < 12; round++) {
      const account = newAccount();
      await two.here.commit(({ queries }) => insertAccount(queries, account));
      // Asked before, within and after the change, so that some hold the old state in their hands when it is committed.
      const asked = [known.find(account.id)];
      const changed = two.here.commit(async ({ queries }) => {
        asked.push(known.find(account.id));
        await updateAccount(queries, account.id, { status: 'deactivated' });
        asked.push(known.find(account.id));
      });
      asked.push(known.find(account.id));
      await changed;
      assert.equal((await known.find(account.id))?.status, 'deactivated', `round ${round}`);
      await Promise.all(asked);
      assert.equal((await known.find(account.id))?.status, 'deactivated', `round ${round}, when all were answered`);
    }
  });

  test('a change that was rolled back changes nothing, and nobody is known who is not there', async () => {
    await using two = await openTwo(await newUrl());
    const [known] = two.known;
    const [account, made] = [newAccount(), newAccount()];
    await two.here.commit(({ queries }) => insertAccount(queries, account));
    const failed = two.here.commit(async ({ queries }) => {
      await updateAccount(queries, account.id, { status: 'deactivated' });
      throw new Error('no');
    });
    await assert.rejects(failed, /no/);
    const held = await known.find(account.id);
    assert.deepEqual(held, account);
    assert.equal(await known.find(account.id), held, 'the same object: it was not read again');
    assert.equal(await known.find(made.id), null);
    await two.there.commit(({ queries }) => insertAccount(queries, made));
    await setImmediate();
    assert.deepEqual(await known.find(made.id), made, 'that it was not there is not remembered');
  });

  test('the next request of an account that another server changed is judged by what it is now', async () => {
    const url = await newUrl();
    await using lab = await openAcmeLab(url);
    await using other = await openDatabase({ url });
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    await client.register();
    const [first, second] = [client.key(), newKey()];
    const id = client.kid().split('/').at(-1) as Account['id'];
    assert.equal((await client.post(client.kid(), null)).status, 200);
    const keys = { from: client.thumbprint(), to: parseJwk(jwkOf(second)) };
    assert.equal(await other.commit(({ queries }) => changeAccountKey(queries, id, keys)), true);
    const refused = await client.post(client.kid(), null);
    assert.equal(refused.status, 400);
    assert.match(refused.json.detail, /does not verify/);
    client.useKey(second);
    const order = await client.order(['a.localhost']);
    assert.equal(order.status, 201);
    assert.equal(await other.commit(({ queries }) => updateAccount(queries, id, { status: 'deactivated' })), true);
    for (const path of [String(order.headers['location']), client.kid()]) assert.equal((await client.post(path, null)).status, 401);
    assert.equal((await client.order(['b.localhost'])).status, 401);
    client.useKey(first);
    assert.equal((await client.post(client.kid(), null)).status, 400, 'and the first key is no key of it any more');
  });
});
