import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ada, openTestAuthorities, place, trustDomain } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { parseBundleDocument } from '../../core/spiffe/parse-bundle-document.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../../core/time/instant.ts';
import { currentIssuer } from '../ca/authorities.ts';
import { addAuthorityPair } from '../ca/initialize-authorities.ts';
import { openAuthorities } from '../ca/open-authorities.ts';
import { OwnBundle } from './own-bundle.ts';

const NOW = 1_800_000_000_000;

forEachDatabase('our own bundle', (newUrl) => {
  test('has every root and no issuing authority, and a sequence that rises with each change and never falls', async () => {
    await using lab = await openTestAuthorities(await newUrl(), NOW - DAY_MS);
    const { database, kek } = lab;
    const own = new OwnBundle(database.queries);
    const read = async (at: number) => parseBundleDocument((await own.read(at))!.octets.toString(), trustDomain);
    const first = await read(NOW);
    assert.deepEqual(
      first.authorities.map(({ spkiSha256 }) => spkiSha256),
      lab.authorities.roots.map(({ spkiSha256 }) => spkiSha256),
    );
    await addAuthorityPair({ database, kek }, { trustDomain, ...place, keyType: 'P-256', crlBaseUrl: null }, ada, NOW);
    const second = await read(NOW + 2 * SECOND_MS);
    assert.equal(second.authorities.length, first.authorities.length + 1);
    assert.ok(second.sequence! > first.sequence!);
    // As after a restart.
    const again = parseBundleDocument((await new OwnBundle(database.queries).read(NOW))!.octets.toString(), trustDomain);
    assert.equal(again.sequence, second.sequence);
  });

  test('names a new authority for an hour before that signs', async () => {
    await using lab = await openTestAuthorities(await newUrl(), NOW - DAY_MS);
    const { database, kek } = lab;
    const before = currentIssuer(await openAuthorities({ database, kek, now: NOW }), NOW);
    await addAuthorityPair({ database, kek }, { trustDomain, ...place, keyType: 'P-256', crlBaseUrl: null }, ada, NOW);
    const issuerAt = async (now: number) => currentIssuer(await openAuthorities({ database, kek, now }), now).id;
    assert.equal(await issuerAt(NOW), before.id);
    assert.equal(await issuerAt(NOW + 59 * MINUTE_MS), before.id);
    assert.notEqual(await issuerAt(NOW + HOUR_MS), before.id);
    const roots = parseBundleDocument((await new OwnBundle(database.queries).read(NOW))!.octets.toString(), trustDomain).authorities;
    assert.equal(roots.length, 3);
  });

  test('of a first start is that of its only authority, which signs at once', async () => {
    await using lab = await openTestAuthorities(await newUrl(), NOW);
    const { database, kek } = lab;
    const { issuing } = await openAuthorities({ database, kek, now: NOW });
    assert.equal(issuing[0]!.id, lab.authorities.issuing[0]!.id);
  });
});
