import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Problem } from '../problems/problem.ts';
import { tags } from './der.ts';
import { constructed, type DerNode, encodeDer, oid, primitive, sequence } from './der-writer.ts';
import { isWithinName, type Name, parseName, sameName } from './name.ts';
import { oids } from './oid.ts';

const attribute = (type: string, tag: number, octets: Uint8Array | string): DerNode =>
  sequence(oid(type), primitive(tag, Buffer.from(octets)));
const named = (...parts: readonly (readonly DerNode[])[]): Name =>
  parseName(encodeDer(sequence(...parts.map((part) => constructed(tags.set, part)))));
const organization = (tag: number, octets: Uint8Array | string): Name => named([attribute(oids.organization, tag, octets)]);
const wide = (text: string, width: 2 | 4): Buffer =>
  Buffer.concat(
    [...text].map((character) =>
      Buffer.from(
        character
          .codePointAt(0)!
          .toString(16)
          .padStart(2 * width, '0'),
        'hex',
      ),
    ),
  );
const plain = organization(tags.utf8String, 'Acme Cloud');

test('the form of the string, case and width of blanks make no other name (RFC 5280 section 7.1)', () => {
  for (const same of [
    organization(tags.printableString, 'Acme Cloud'),
    organization(tags.utf8String, 'ACME cloud'),
    organization(tags.utf8String, '  Acme   Cloud '),
    organization(tags.teletexString, 'Acme Cloud'),
    organization(tags.bmpString, wide('Acme Cloud', 2)),
    organization(tags.universalString, wide('Acme Cloud', 4)),
  ])
    assert.ok(sameName(plain, same), Buffer.from(same.der).toString('hex'));
  const beyond = 'Acme \u{1f512}';
  assert.ok(sameName(organization(tags.utf8String, beyond), organization(tags.universalString, wide(beyond, 4))));
  assert.ok(sameName(organization(tags.utf8String, 'e\u0301'), organization(tags.utf8String, '\u00e9')), 'normal forms (RFC 4518)');
});

test('other text, other attributes, more or fewer of them and another order of parts do', () => {
  const [o, cn] = [attribute(oids.organization, tags.utf8String, 'Acme'), attribute(oids.commonName, tags.utf8String, 'Root')];
  const base = named([o], [cn]);
  for (const other of [named([cn], [o]), named([o]), named([o], [cn], [cn]), named([o, cn]), named()]) assert.ok(!sameName(base, other));
  assert.ok(sameName(named([o, cn]), named([cn, o])), 'the attributes of one part have no order');
  assert.ok(!sameName(named([o, o]), named([o])));
  assert.ok(!sameName(plain, organization(tags.utf8String, 'AcmeCloud')), 'blanks between words count');
  assert.ok(!sameName(named([o]), named([attribute(oids.organizationalUnit, tags.utf8String, 'Acme')])));
  const octets = attribute(oids.organization, 0x04, 'Acme');
  assert.ok(!sameName(named([o]), named([octets])), 'what is no string is compared octet by octet');
});

test('a directory constraint is the beginning of the names in it (RFC 5280 section 4.2.1.10)', () => {
  const [o, unit, cn] = [oids.organization, oids.organizationalUnit, oids.commonName].map((type) => [
    attribute(type, tags.utf8String, 'a'),
  ]) as [DerNode[], DerNode[], DerNode[]];
  assert.ok(isWithinName(named(o, unit, cn), named(o, unit)));
  assert.ok(isWithinName(named(o), named(o)) && isWithinName(named(o), named()));
  assert.ok(!isWithinName(named(unit, o), named(o)));
  assert.ok(!isWithinName(named(o), named(o, unit)));
});

test('strings that are none of their type are malformed', () => {
  for (const [tag, octets] of [
    [tags.utf8String, Uint8Array.of(0xff)],
    [tags.printableString, Uint8Array.of(0xc3)],
    [tags.bmpString, Uint8Array.of(0)],
    [tags.universalString, Uint8Array.of(0, 0, 0)],
    [tags.universalString, Uint8Array.of(0, 0x11, 0, 0)],
  ] as const)
    assert.throws(
      () => organization(tag, octets),
      (error: unknown) => error instanceof Problem && error.code === 'der-malformed',
    );
  assert.throws(() => named([]), { code: 'der-malformed' }, 'a part without attributes');
});
