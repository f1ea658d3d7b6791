import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { certify, makeHolder } from '../../../test/support/make-certificate.ts';
import { type PolicySays, treeVerdict } from '../../../test/support/policy-tree.ts';
import type { TbsFields } from './build-certificate.ts';
import type { Certificate } from './certificate.ts';
import { encodeDer, oid, sequence, smallInteger } from './der-writer.ts';
import { contextPrimitive } from './der.ts';
import type { Extension } from './extensions.ts';
import { judgePolicies, noPolicyDemands, type PolicyDemands } from './judge-policies.ts';
import { oids } from './oid.ts';

const policyId = (letter: string): string => (letter === '*' ? oids.anyPolicy : `1.2.3.${letter.charCodeAt(0)}`);
const holders = Array.from({ length: 8 }, (_, i) => makeHolder(`P${i}`));

function extensionsOf({ policies, maps, explicit, noMapping, noAny }: PolicySays): Extension[] {
  const found: Extension[] = [];
  const add = (id: string, value: Uint8Array): number => found.push({ oid: id, critical: true, value });
  if (policies !== undefined) add(oids.certificatePolicies, encodeDer(sequence(...[...policies].map((p) => sequence(oid(policyId(p)))))));
  if (maps !== undefined)
    add(oids.policyMappings, encodeDer(sequence(...maps.map(([a, b]) => sequence(oid(policyId(a!)), oid(policyId(b!)))))));
  if (explicit !== undefined || noMapping !== undefined) {
    const constraints = [
      ...(explicit === undefined ? [] : [smallInteger(explicit, contextPrimitive(0))]),
      ...(noMapping === undefined ? [] : [smallInteger(noMapping, contextPrimitive(1))]),
    ];
    add(oids.policyConstraints, encodeDer(sequence(...constraints)));
  }
  if (noAny !== undefined) add(oids.inhibitAnyPolicy, encodeDer(smallInteger(noAny)));
  return found;
}

/** A path, leaf first and anchor last, of certificates given from the anchor's first subject to the leaf; signatures are not needed here. */
function pathOf(chain: readonly PolicySays[], anchor: Partial<TbsFields> = {}): Certificate[] {
  const path = [certify(holders[0]!, holders[0]!, true, anchor)];
  let above = 0;
  for (const says of chain) {
    const own = says.selfIssued === true ? above : above + 1;
    path.unshift(certify(holders[own]!, holders[above]!, true, { furtherExtensions: extensionsOf(says) }));
    above = own;
  }
  return path;
}

function judge(chain: readonly PolicySays[], demands: Partial<PolicyDemands> & { readonly user?: string } = {}): string {
  const { user, ...others } = demands;
  const initial = user === undefined ? 'any' : new Set([...user].map(policyId));
  const fault = judgePolicies(pathOf(chain), { ...noPolicyDemands, initial, ...others }, { left: 10_000 });
  return fault === null ? 'valid' : 'invalid';
}

const isToldBy = (chain: readonly PolicySays[], anchor: PolicySays): boolean =>
  judgePolicies(pathOf(chain, { furtherExtensions: extensionsOf(anchor) }), noPolicyDemands, { left: 1_000 }) === null;

const explicit = true;

test('policies that nobody demands may be absent, and differ from certificate to certificate', () => {
  assert.equal(judge([{}, {}]), 'valid');
  assert.equal(judge([{ policies: 'A' }, { policies: 'B' }]), 'valid');
  assert.equal(judge([{ policies: 'A' }, {}], { user: 'A' }), 'valid', 'a set of the user alone demands nothing');
});

test('under an explicit policy all certificates need one in common (RFC 5280 section 6.1.5 (g))', () => {
  assert.equal(judge([{ policies: 'A' }, { policies: 'A' }], { explicit }), 'valid');
  assert.equal(judge([{ policies: 'A' }, { policies: 'A' }], { explicit, user: 'A' }), 'valid');
  assert.equal(judge([{ policies: 'A' }, { policies: 'A' }], { explicit, user: 'B' }), 'invalid');
  assert.equal(judge([{ policies: 'A' }, { policies: 'A' }], { explicit, user: 'BA' }), 'valid');
  assert.equal(judge([{}, {}], { explicit }), 'invalid');
  assert.equal(judge([{ policies: 'A' }, {}], { explicit }), 'invalid');
  assert.equal(judge([{}, { policies: 'A' }], { explicit }), 'invalid');
  assert.equal(judge([{ policies: 'A' }, { policies: 'B' }], { explicit }), 'invalid');
  assert.equal(judge([{ policies: 'AB' }, { policies: 'BC' }, { policies: 'CB' }], { explicit, user: 'B' }), 'valid');
  assert.equal(judge([{ policies: 'AB' }, { policies: 'BC' }, { policies: 'C' }], { explicit }), 'invalid');
});

test('anyPolicy stands for every policy, unless it is inhibited (RFC 5280 section 6.1.3 (d)(2))', () => {
  assert.equal(judge([{ policies: '*' }, { policies: 'A' }], { explicit, user: 'A' }), 'valid');
  assert.equal(judge([{ policies: '*' }, { policies: 'A' }], { explicit, user: 'B' }), 'invalid');
  assert.equal(judge([{ policies: '*' }, { policies: '*' }], { explicit, user: 'B' }), 'valid');
  assert.equal(judge([{ policies: 'A' }, { policies: '*' }], { explicit, user: 'A' }), 'valid');
  assert.equal(judge([{ policies: 'A' }, { policies: '*' }], { explicit, inhibitAny: true }), 'invalid');
  assert.equal(judge([{ policies: '*' }, { policies: 'A' }], { explicit, inhibitAny: true }), 'invalid');
  assert.equal(judge([{ policies: 'A', noAny: 0 }, { policies: '*' }], { explicit }), 'invalid');
  assert.equal(judge([{ policies: 'A', noAny: 1 }, { policies: '*' }, { policies: 'A' }], { explicit }), 'valid');
  assert.equal(judge([{ policies: 'A', noAny: 1 }, { policies: 'A' }, { policies: '*' }], { explicit }), 'invalid');
  assert.equal(
    judge([{ policies: 'A', noAny: 5 }, { policies: 'A', noAny: 0 }, { policies: '*' }], { explicit }),
    'invalid',
    'the least counts',
  );
  assert.equal(judge([{ policies: 'A', noAny: 0 }, { policies: 'A', noAny: 5 }, { policies: '*' }], { explicit }), 'invalid', 'and stays');
});

test('self-issued authorities may use anyPolicy all the same, and do not count down', () => {
  assert.equal(judge([{ policies: 'A', noAny: 0 }, { policies: '*', selfIssued: true }, { policies: 'A' }], { explicit }), 'valid');
  assert.equal(
    judge([{ policies: 'A', noAny: 1 }, { policies: '*', selfIssued: true }, { policies: '*' }, { policies: 'A' }], { explicit }),
    'valid',
  );
  assert.equal(
    judge(
      [
        { policies: 'A', noAny: 0 },
        { policies: '*', selfIssued: true },
      ],
      { explicit },
    ),
    'invalid',
    'not as the leaf',
  );
  assert.equal(
    judge([{ explicit: 2 }, { selfIssued: true }, {}]),
    'valid',
    'the demand starts below the next certificate that is not self-issued',
  );
  assert.equal(judge([{ explicit: 2 }, {}, {}]), 'invalid');
});

test('requireExplicitPolicy demands a policy so many certificates later (RFC 5280 section 4.2.1.11)', () => {
  assert.equal(judge([{ explicit: 0 }, {}]), 'invalid');
  assert.equal(judge([{ policies: 'A', explicit: 0 }, { policies: 'A' }]), 'valid');
  assert.equal(judge([{ policies: 'A', explicit: 0 }, { policies: 'A' }], { user: 'B' }), 'invalid', 'then the set of the user counts');
  assert.equal(judge([{ explicit: 10 }, {}, {}]), 'valid');
  assert.equal(judge([{ explicit: 2 }, {}, {}]), 'invalid');
  assert.equal(judge([{ explicit: 3 }, {}, {}]), 'valid');
  assert.equal(judge([{ explicit: 7 }, { explicit: 2 }, { explicit: 4 }, {}]), 'invalid');
  assert.equal(judge([{}, { explicit: 0 }]), 'invalid', 'in the leaf it demands one for the path that it ends');
  assert.equal(judge([{}, { explicit: 1 }]), 'valid', 'any other number in the leaf demands nothing');
  assert.equal(judge([{ policies: 'A' }, { policies: 'A', explicit: 0 }]), 'valid');
});

test('mapped policies are followed from the domain of the issuer to that of the subject (RFC 5280 section 6.1.4 (b))', () => {
  assert.equal(judge([{ policies: 'A', maps: ['AB'] }, { policies: 'B' }], { explicit, user: 'A' }), 'valid');
  assert.equal(
    judge([{ policies: 'A', maps: ['AB'] }, { policies: 'B' }], { explicit, user: 'B' }),
    'invalid',
    'the set is of the anchor’s domain',
  );
  assert.equal(judge([{ policies: 'A', maps: ['AB'] }, { policies: 'A' }], { explicit, user: 'A' }), 'invalid', 'A is nothing below');
  assert.equal(judge([{ policies: 'A', maps: ['AB', 'AC'] }, { policies: 'C' }], { explicit, user: 'A' }), 'valid');
  assert.equal(
    judge([{ policies: 'AD', maps: ['AB', 'DB'] }, { policies: 'B' }], { explicit, user: 'D' }),
    'valid',
    'one node, two parents',
  );
  assert.equal(judge([{ policies: '*', maps: ['AB'] }, { policies: 'B' }], { explicit, user: 'A' }), 'valid', 'mapped out of anyPolicy');
  assert.equal(judge([{ policies: 'C', maps: ['AB'] }, { policies: 'B' }], { explicit }), 'invalid', 'a mapping of what is not valid');
  assert.equal(
    judge([{ policies: 'A', maps: ['AB'] }, { policies: 'B', maps: ['BC'] }, { policies: 'C' }], { explicit, user: 'A' }),
    'valid',
  );
  assert.equal(judge([{ policies: 'A', maps: ['AB'] }, { policies: '*' }], { explicit, user: 'A' }), 'valid');
});

test('anyPolicy is never mapped (RFC 5280 section 6.1.4 (a))', () => {
  assert.equal(judge([{ policies: '*', maps: ['*B'] }, { policies: 'B' }]), 'invalid');
  assert.equal(judge([{ policies: 'A', maps: ['A*'] }, { policies: 'A' }]), 'invalid');
  assert.equal(
    judge([{ policies: 'A' }, { policies: 'A', maps: ['A*'] }]),
    'valid',
    'the mappings of the leaf are not prepared for anybody',
  );
});

test('inhibited mappings take the mapped policies away', () => {
  assert.equal(judge([{ policies: 'A', maps: ['AB'] }, { policies: 'B' }], { explicit, inhibitMapping: true }), 'invalid');
  assert.equal(judge([{ policies: 'A', maps: ['AB'] }, { policies: 'A' }], { explicit, inhibitMapping: true }), 'invalid', 'even unmapped');
  assert.equal(judge([{ policies: 'AC', maps: ['AB'] }, { policies: 'C' }], { explicit, inhibitMapping: true }), 'valid');
  assert.equal(judge([{ policies: 'A', noMapping: 0 }, { policies: 'A', maps: ['AB'] }, { policies: 'B' }], { explicit }), 'invalid');
  assert.equal(judge([{ policies: 'A', noMapping: 1 }, { policies: 'A', maps: ['AB'] }, { policies: 'B' }], { explicit }), 'valid');
  assert.equal(
    judge([{ policies: 'A', noMapping: 1 }, { policies: 'A', maps: ['AB'] }, { policies: 'B', maps: ['BC'] }, { policies: 'C' }], {
      explicit,
    }),
    'invalid',
  );
});

test("an anchor's own constraints count from the start (RFC 5937)", () => {
  assert.ok(!isToldBy([{}, {}], { explicit: 0 }));
  assert.ok(isToldBy([{ policies: 'A' }, { policies: 'A' }], { explicit: 0 }));
  assert.ok(isToldBy([{}, {}], { explicit: 3 }));
  assert.ok(!isToldBy([{ policies: 'A' }, { policies: '*' }], { explicit: 0, noAny: 0 }));
});

test('malformed policy extensions refuse the path', () => {
  for (const [id, value] of [
    [oids.certificatePolicies, encodeDer(sequence())],
    [oids.certificatePolicies, encodeDer(sequence(sequence(oid('1.2.3')), sequence(oid('1.2.3'))))],
    [oids.certificatePolicies, encodeDer(sequence(sequence(oid('1.2.3'), sequence())))],
    [oids.policyMappings, encodeDer(sequence())],
    [oids.policyMappings, encodeDer(sequence(sequence(oid('1.2.3'))))],
    [oids.policyConstraints, encodeDer(sequence())],
    [oids.policyConstraints, encodeDer(sequence(smallInteger(1, contextPrimitive(2))))],
    [oids.policyConstraints, encodeDer(sequence(smallInteger(1, contextPrimitive(1)), smallInteger(1, contextPrimitive(0))))],
    [oids.inhibitAnyPolicy, Uint8Array.of(2, 1, 0xff)],
  ] as const) {
    const path = [certify(holders[1]!, holders[0]!, false, { furtherExtensions: [{ oid: id, critical: false, value }] }), ...pathOf([])];
    assert.equal(
      judgePolicies(path, noPolicyDemands, { left: 100 })?.reason,
      'chain-invalid',
      `${id} ${Buffer.from(value).toString('hex')}`,
    );
  }
});

test('a mesh of mappings costs no more than the limit (RFC 9618 section 4)', () => {
  const letters = 'ABCDEFGHIJKLMNOPQRST';
  const maps = [...letters].flatMap((a) => [...letters].map((b) => a + b));
  const chain = [...Array.from({ length: 6 }, () => ({ policies: letters, maps })), { policies: 'A' }];
  assert.equal(judge(chain, { explicit }), 'valid', 'linear work for what would be a tree of 20 to the sixth');
  assert.equal(judgePolicies(pathOf(chain), { ...noPolicyDemands, explicit }, { left: 500 })?.reason, 'limit-exceeded');
});

test('the graph says what the tree of RFC 5280 says', () => {
  const letter = fc.constantFrom('A', 'B', 'C', '*');
  const says = fc.record(
    {
      policies: fc.uniqueArray(letter, { minLength: 1, maxLength: 3 }).map((list) => list.join('')),
      maps: fc.array(
        fc.tuple(fc.constantFrom('A', 'B', 'C'), fc.constantFrom('A', 'B', 'C')).map((pair) => pair.join('')),
        { minLength: 1, maxLength: 3 },
      ),
      explicit: fc.nat(2),
      noMapping: fc.nat(2),
      noAny: fc.nat(2),
      selfIssued: fc.boolean(),
    },
    { requiredKeys: ['policies'] },
  );
  const demands = fc.record({
    explicit: fc.boolean(),
    inhibitMapping: fc.boolean(),
    inhibitAny: fc.boolean(),
    user: fc.constantFrom('A', 'AB', 'ABC*'),
  });
  fc.assert(
    fc.property(fc.array(says, { minLength: 1, maxLength: 4 }), demands, (chain, demand) => {
      const user = demand.user.includes('*') ? undefined : demand.user;
      const expected = treeVerdict(chain, { ...demand, user });
      assert.equal(judge(chain, { ...demand, ...(user === undefined ? { user: '*' } : { user }) }), expected);
    }),
    { numRuns: 150 },
  );
});
