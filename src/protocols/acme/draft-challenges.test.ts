import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Found } from '../../platform/network/name-resolver.ts';
import { accountLabel, proveByAccountLabel } from './prove-by-account-label.ts';
import { judgeRecord, proveByPersistentRecord } from './prove-by-persistent-record.ts';

const now = 1_800_000_000_000;
const accountUrl = 'https://ca.example/acme/account/1';
const parties = { accountUrl, issuers: ['ca.example'], now };
const identifier = { type: 'dns', value: 'a.example' } as const;
const expected = { text: 't.p', sha256: createHash('sha256').update('t.p').digest() };
const digest = expected.sha256.toString('base64url');

function zone(records: { readonly [name: string]: readonly string[] | 'fail' }) {
  const texts = async (name: string): Promise<Found<string>> => {
    const values = records[name] ?? [];
    if (values === 'fail') return { kind: 'failed', detail: 'ESERVFAIL' };
    return values.length === 0 ? { kind: 'none' } : { kind: 'found', values };
  };
  return { texts, addresses: texts, caa: async () => ({ kind: 'none' }) as const };
}

test('dns-account-01 asks below the label of the account alone', async () => {
  // The example of the draft, section 3.2.
  assert.equal(accountLabel('https://example.com/acme/acct/ExampleAccount'), '_ujmmovf2vn55tgye');
  const prove = async (records: Parameters<typeof zone>[0]) => {
    const proof = await proveByAccountLabel({ resolver: zone(records), accountUrl }, { identifier }, expected);
    return proof.kind === 'failed' ? proof.type : proof.kind;
  };
  const name = `${accountLabel(accountUrl)}._acme-challenge.a.example`;
  assert.equal(await prove({ [name]: ['x', digest] }), 'proven');
  assert.equal(await prove({ '_acme-challenge.a.example': [digest] }), 'unauthorized', 'the name of dns-01');
  assert.equal(
    await prove({ [`${accountLabel(`${accountUrl}1`)}._acme-challenge.a.example`]: [digest] }),
    'unauthorized',
    'another account',
  );
  assert.equal(await prove({ [name]: [`${digest}=`] }), 'unauthorized');
  assert.equal(await prove({ [name]: 'fail' }), 'dns');
});

const good = `ca.example; accounturi=${accountUrl}`;

test('a persistent record permits the CA, account and name that it names, until it ends', () => {
  assert.equal(judgeRecord(good, false, parties), Infinity);
  assert.equal(judgeRecord(`CA.Example;accounturi=${accountUrl};policy=WildCard;`, true, parties), Infinity);
  assert.equal(judgeRecord(`${good}; policy=other; later=1`, false, parties), Infinity, 'unknown policies and parameters');
  assert.equal(judgeRecord(`${good}; persistUntil=${now / 1_000 + 60}`, false, parties), now + 60_000);
});

test('a persistent record permits nothing else', () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['nothing', '', false],
    ['no issuer', `; accounturi=${accountUrl}`, false],
    ['another issuer', `other.example; accounturi=${accountUrl}`, false],
    ['a name below the issuer', `sub.ca.example; accounturi=${accountUrl}`, false],
    ['no account', 'ca.example', false],
    ['another account', `${good}0`, false],
    ['an account URL in capitals', `ca.example; accounturi=${accountUrl.toUpperCase()}`, false],
    ['two accounts', `${good}; accounturi=${accountUrl}`, false],
    ['a wildcard without the policy', good, true],
    ['a wildcard by another policy', `${good}; policy=specific-subdomains-only`, true],
    ['two policies', `${good}; policy=wildcard; policy=wildcard`, true],
    ['an end that is over', `${good}; persistUntil=${now / 1_000}`, false],
    ['an end that is a date', `${good}; persistUntil=2030-01-01`, false],
    ['an end below nought', `${good}; persistUntil=-1`, false],
    ['two ends', `${good}; persistUntil=9999999999; persistUntil=9999999999`, false],
    ['a parameter without a value', `${good}; what`, false],
    ['a record too long', `${good}; x=${'y'.repeat(2_000)}`, false],
  ];
  for (const [name, text, wildcard] of cases) assert.equal(judgeRecord(text, wildcard, parties), null, name);
  fc.assert(fc.property(fc.string(), (text) => judgeRecord(text, false, parties) === null));
});

test('dns-persist-01 takes the record that lasts longest, and no answer for a no', async () => {
  const end = (seconds: number): string => `${good}; persistUntil=${now / 1_000 + seconds}`;
  assert.deepEqual(await provePersistent(['x', good]), { kind: 'proven', address: null });
  assert.deepEqual(await provePersistent([end(60), end(90), end(-1)]), { kind: 'proven', address: null, until: now + 90_000 });
  for (const records of [[], ['x']])
    assert.partialDeepStrictEqual(await provePersistent(records), { kind: 'failed', type: 'unauthorized' });
  assert.partialDeepStrictEqual(await provePersistent('fail'), { kind: 'failed', type: 'dns' });
});

function provePersistent(records: readonly string[] | 'fail') {
  return proveByPersistentRecord(
    { resolver: zone({ '_validation-persist.a.example': records }), ...parties },
    { identifier, wildcard: false },
  );
}
