import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CaaProperty, Found } from '../../platform/network/name-resolver.ts';
import { checkCaa, judgeCaa } from './check-caa.ts';

const accountUrl = 'https://ca.example/acme/account/1';
const asker = { identities: ['ca.example'], accountUrl, method: 'http-01' } as const;
const issue = (value: string, tag = 'issue', critical = false): CaaProperty => ({ critical, tag, value });

test('judgeCaa() permits this CA where a record says so, or none speaks of issuance', () => {
  const permitted: readonly (readonly [string, readonly CaaProperty[], boolean])[] = [
    ['no record of issuance', [issue('mailto:a@b.example', 'iodef')], false],
    ['its name', [issue('ca.example')], false],
    ['its name in capitals', [issue('CA.Example')], false],
    ['its name among others', [issue('other.example'), issue('ca.example')], false],
    ['its name with parameters that are not known', [issue('ca.example; policy=ev')], false],
    ['its account', [issue(`ca.example; accounturi=${accountUrl}`)], false],
    ['its method', [issue('ca.example; validationmethods=dns-01,http-01')], false],
    ['a wildcard by issue', [issue('ca.example')], true],
    ['a wildcard by issuewild', [issue(';'), issue('ca.example', 'issuewild')], true],
    ['issuewild for a plain name', [issue(';', 'issuewild')], false],
    ['a tag in capitals', [issue('ca.example', 'ISSUE')], false],
    ['a critical property that is known', [issue('ca.example', 'issue', true)], false],
  ];
  for (const [name, records, wildcard] of permitted) assert.equal(judgeCaa(records, wildcard, asker), true, name);
});

test('judgeCaa() forbids everybody that no record names, and what it does not understand', () => {
  const forbidden: readonly (readonly [string, readonly CaaProperty[], boolean])[] = [
    ['nobody', [issue(';')], false],
    ['an empty value', [issue('')], false],
    ['another CA', [issue('other.example')], false],
    ['a name below', [issue('sub.ca.example')], false],
    ['a name above', [issue('example')], false],
    ['another account', [issue('ca.example; accounturi=https://ca.example/acme/account/2')], false],
    ['two accounts', [issue(`ca.example; accounturi=${accountUrl}; accounturi=${accountUrl}`)], false],
    ['another method', [issue('ca.example; validationmethods=dns-01')], false],
    ['no method', [issue('ca.example; validationmethods=')], false],
    ['a malformed parameter', [issue('ca.example; what')], false],
    ['a wildcard that issuewild forbids', [issue('ca.example'), issue(';', 'issuewild')], true],
    ['a plain name by issuewild', [issue('other.example'), issue('ca.example', 'issuewild')], false],
    ['a critical property that is not known', [issue('ca.example'), issue('x', 'tbs', true)], false],
  ];
  for (const [name, records, wildcard] of forbidden) assert.equal(judgeCaa(records, wildcard, asker), false, name);
  fc.assert(fc.property(fc.string(), (value) => /ca\.example/i.test(value) || !judgeCaa([issue(value)], false, asker)));
});

const zone = (answers: { readonly [name: string]: Found<CaaProperty> }) => ({
  caa: async (name: string): Promise<Found<CaaProperty>> => answers[name] ?? { kind: 'none' },
});
const found = (value: string): Found<CaaProperty> => ({ kind: 'found', values: [issue(value)] });

const ask = (answers: { readonly [name: string]: Found<CaaProperty> }, identities: readonly string[] = asker.identities) =>
  checkCaa(zone(answers), { name: 'www.acme.example', wildcard: false }, { ...asker, identities });

test('checkCaa() takes the closest record set, and no answer for a no', async () => {
  assert.equal(await ask({}), null);
  assert.equal(await ask({ 'acme.example': found('ca.example') }), null);
  assert.equal(await ask({ 'www.acme.example': found('ca.example'), 'acme.example': found(';') }), null);
  assert.match((await ask({ 'www.acme.example': found(';'), 'acme.example': found('ca.example') }))!, /www\.acme\.example does not permit/);
  assert.match((await ask({ example: found('other.example') }))!, /does not permit/);
  assert.match((await ask({ 'acme.example': { kind: 'failed', detail: 'ESERVFAIL' } }))!, /could not be asked \(ESERVFAIL\)/);
  assert.equal(
    await ask({ 'www.acme.example': found('ca.example'), example: { kind: 'failed', detail: 'ETIMEOUT' } }),
    null,
    'above the closest',
  );
  assert.equal(await ask({ 'acme.example': found(';') }, []), null, 'a CA without a name of its own');
});
