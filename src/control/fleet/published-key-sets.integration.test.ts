import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestAuthorities, place } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { canonicalJson } from '../../core/merkle/canonical-json.ts';
import { parsePolicy } from '../../core/policy/policy.ts';
import { policyDigest } from '../../core/policy/policy-digest.ts';
import { SECOND_MS } from '../../core/time/instant.ts';
import { makeSignal } from '../../platform/clock/signal.ts';
import { newEntityId } from '../../platform/ids/new-entity-id.ts';
import { upsertPolicy } from '../policies/store.ts';
import { PublishedKeySets } from './published-key-sets.ts';

const NOW = 1_800_000_000_000;

const policyOf = (issuer: number) =>
  parsePolicy({
    http: { boundTokens: { issuer: 'https://i.example', audiences: ['a'], jwksUri: `https://i${issuer}.example/jwks` } },
  });

forEachDatabase('keys of issuers that are all away', (newUrl) => {
  test('are asked for in turn: those that were tried last stand behind the others', async () => {
    await using lab = await openTestAuthorities(await newUrl(), NOW);
    const { database } = lab;
    const issuers = Array.from({ length: 12 }, (_, at) => at);
    await database.commit(async (unit) => {
      for (const issuer of issuers) {
        const policy = policyOf(issuer);
        const id = newEntityId('policy', NOW + issuer);
        const record = { id, ...place, name: `p${String(issuer).padStart(2, '0')}`, digest: policyDigest(policy), policy, updatedAt: NOW };
        await upsertPolicy(unit.queries, record, canonicalJson(policy));
      }
    });
    const asked: string[] = [];
    const keys = new PublishedKeySets({
      database,
      place,
      changed: makeSignal(),
      log: () => {},
      fetch: async ({ url }) => {
        asked.push(url);
        return { kind: 'failed', stage: 'connection', detail: 'away' };
      },
    });
    await keys.reconcile(NOW);
    assert.equal(asked.length, 10, 'a bounded number a round');
    // Such a round takes so long that the first are due again when it is over.
    await keys.reconcile(NOW + 50 * SECOND_MS);
    assert.equal(asked.length, 20);
    assert.deepEqual(new Set(asked).size, issuers.length);
  });
});
