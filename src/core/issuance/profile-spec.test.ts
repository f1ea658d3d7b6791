import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { certify, makeHolder, makeKey, TEST_NOW } from '../../../test/support/make-certificate.ts';
import { parseSpiffeId } from '../identity/spiffe-id.ts';
import { parseTrustDomain } from '../identity/trust-domain.ts';
import { Problem } from '../problems/problem.ts';
import { DAY_MS, HOUR_MS } from '../time/instant.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../x509/certificate-request.ts';
import { decideIssuance } from './decide-issuance.ts';
import { explainIssuance } from './explain-issuance.ts';
import type { IssuanceFacts, IssuanceOrder } from './issuance-order.ts';
import { parseProfileSpec } from './parse-profile-spec.ts';
import type { Profile, ProfileName } from './profile.ts';
import { compileProfile, profileDigest } from './profile-spec.ts';

const key = parseCertificateRequest(buildCertificateRequest({}, makeKey()));
const issuer = certify(makeHolder('Acme Issuing'), makeHolder('Acme Root'), true, {
  notAfter: TEST_NOW + 1_000 * DAY_MS,
  notBefore: TEST_NOW - DAY_MS,
});
const facts: IssuanceFacts = {
  trustDomain: parseTrustDomain('acme.test'),
  issuer,
  issuerEnvironment: 'production',
  crlUri: null,
  identitySuspended: false,
  keyBlocked: false,
};
const order: IssuanceOrder = {
  door: 'rest',
  asker: { role: 'ci', scope: '*', spiffeId: null, name: 'release' },
  environment: 'production',
  key,
  spiffeId: null,
  dnsNames: ['www.acme.test'],
  ipAddresses: [],
  authorityName: null,
};
const profileOf = (spec: object): Profile => compileProfile('declared' as ProfileName, parseProfileSpec(spec));
const broken = (spec: object, changes: Partial<IssuanceOrder> = {}, changed: Partial<IssuanceFacts> = {}): readonly string[] =>
  explainIssuance(TEST_NOW, profileOf(spec), { ...order, ...changes }, { ...facts, ...changed })
    .filter(({ verdict }) => verdict === 'broken')
    .map(({ rule }) => rule);
const base = { base: 'server' };
const pick = <T>(...values: T[]): fc.Arbitrary<T> => fc.constantFrom(...values);

test('parseProfileSpec() refuses what is unknown, out of bounds or contradictory', () => {
  const wrong: readonly unknown[] = [
    {},
    { base: 'root' },
    { base: 'drill' },
    { base: 'server', more: 1 },
    { base: 'server', cadence: 'weekly' },
    { base: 'server', cadence: 'critical', lifetime: { max: '91d' } },
    { base: 'server', cadence: 'critical', lifetime: { max: '29d' } },
    { base: 'server', cadence: 'standard', lifetime: { max: '181d' } },
    { base: 'server', cadence: 'short-lived', lifetime: { max: '25h' } },
    { base: 'workload', status: 'stapled' },
    { base: 'workload', serverKeys: true },
    { base: 'workload', remoteKeys: 'yes' },
    { base: 'server', remoteKeys: true },
    { base: 'workload', remoteKeys: true, approvals: {} },
    { base: 'server', extendedKeyUsage: ['clientAuth'], serverKeys: 'yes' },
    { base: 'server', cadence: 'short-lived', status: 'ocsp' },
    { base: 'server-shortlived', status: 'lists' },
    { base: 'server', lifetime: { max: '399d' } },
    { base: 'server', lifetime: { max: 90 } },
    { base: 'server', lifetime: { max: '90' } },
    { base: 'server', lifetime: { usual: '2d', max: '1d' } },
    { base: 'server-shortlived', lifetime: { max: '8d' } },
    { base: 'server', keys: { curves: ['P-192'] } },
    { base: 'server', keys: { rsa: { min: 1024 } } },
    { base: 'server', keys: { rsa: { min: 4096, max: 3072 } } },
    { base: 'server', extendedKeyUsage: ['codeSigning'] },
    { base: 'server', names: { dns: ['a b'] } },
    { base: 'server', names: { dns: ['**.*.test'] } },
    { base: 'server', names: { ip: ['10.0.0.1/8'] } },
    { base: 'server', names: { ip: ['10.0.0.0/33'] } },
    { base: 'server', names: { services: ['orders'] } },
    { base: 'server', askers: { drill: {} } },
    { base: 'server', askers: { join: {} } },
    { base: 'server', askers: { rest: { roles: ['viewer'] } } },
    { base: 'server', askers: { rest: { roles: [] } } },
    { base: 'server', approvals: { count: 2 } },
    { base: 'server', askers: { rest: {} }, approvals: { count: 0 } },
    { base: 'server', askers: { rest: {} }, approvals: { count: 1, within: '31d' } },
    { base: 'server', askers: { rest: {} }, approvals: { role: 'ci' } },
  ];
  for (const spec of wrong) {
    assert.throws(
      () => parseProfileSpec(spec),
      (error) => error instanceof Problem && error.code === 'input-invalid',
      JSON.stringify(spec),
    );
  }
});

test('a profile without more is its base, and equal profiles have one digest', () => {
  assert.deepEqual(broken(base), []);
  assert.equal(profileDigest(parseProfileSpec(base)), profileDigest(parseProfileSpec({ base: 'server', names: {} })));
  assert.notEqual(profileDigest(parseProfileSpec(base)), profileDigest(parseProfileSpec({ base: 'server', cadence: 'critical' })));
});

test('declared names refuse every other name, wildcards where they are not allowed, and addresses outside their ranges', () => {
  const names = { dns: ['www.acme.test', '*.shop.acme.test', '**.deep.acme.test'], ip: ['10.0.0.0/8', '2001:db8::/32'] };
  const spec = { base: 'server', names };
  for (const name of [
    'acme.test',
    'x.acme.test',
    'shop.acme.test',
    'a.b.shop.acme.test',
    'deep.acme.test',
    'notdeep.acme.test',
    'www.acme.test.evil',
  ])
    assert.deepEqual(broken(spec, { dnsNames: [name] }), ['permitted'], name);
  for (const address of ['11.0.0.1', '9.255.255.255', '2001:db9::1', '::1'])
    assert.deepEqual(broken(spec, { ipAddresses: [address] }), ['permitted'], address);
  assert.deepEqual(broken(spec, { dnsNames: ['*.shop.acme.test'] }), ['permitted'], 'a wildcard');
  const wild = { base: 'server', names: { ...names, wildcards: true } };
  assert.deepEqual(broken(wild, { dnsNames: ['*.shop.acme.test', '*.x.deep.acme.test', 'www.acme.test'] }), []);
  assert.deepEqual(broken(spec, { ipAddresses: ['10.9.8.7', '2001:db8::1'] }), []);
});

test('declared services, askers and keys refuse all others', () => {
  const orders = parseSpiffeId('spiffe://acme.test/production/orders');
  const workload = { base: 'workload', names: { services: ['payments'] } };
  assert.deepEqual(broken(workload, { spiffeId: orders }), ['permitted']);
  assert.deepEqual(broken({ base: 'workload', names: { services: ['orders'] } }, { spiffeId: orders }), []);
  const named = { base: 'server', askers: { rest: { roles: ['ci'], identities: ['release'] } } };
  assert.deepEqual(broken(named), []);
  assert.deepEqual(broken(named, { asker: { ...order.asker, name: 'other' } }), ['asker']);
  assert.deepEqual(broken(named, { asker: { ...order.asker, role: 'operator' } }), ['asker']);
  assert.deepEqual(broken(named, { door: 'acme', asker: { ...order.asker, provenNames: ['www.acme.test'] } }), ['asker']);
  assert.deepEqual(broken({ base: 'server', keys: { curves: ['P-384'] } }), ['key']);
});

test('what is short-lived by its cadence says that no revocation is available, whatever its base; nothing else does', () => {
  const published = { crlUri: 'http://crl.acme.test/1.crl', ocspUri: 'http://ocsp.acme.test/ocsp' };
  for (const [spec, expected] of [
    [
      { base: 'server', cadence: 'short-lived' },
      { noRevAvail: true, crlUri: undefined, ocspUri: undefined },
    ],
    [{ base: 'server-shortlived' }, { noRevAvail: true, crlUri: undefined, ocspUri: undefined }],
    [
      { base: 'server', cadence: 'standard', lifetime: { max: '20h' } },
      { noRevAvail: undefined, ...published },
    ],
    [
      { base: 'server', cadence: 'critical' },
      { noRevAvail: undefined, ...published },
    ],
  ] as const) {
    const decision = decideIssuance(TEST_NOW, profileOf(spec), order, { ...facts, ...published });
    assert.ok(decision.kind === 'issue', JSON.stringify(decision));
    const { noRevAvail, crlUri, ocspUri } = decision.template.fields;
    assert.deepEqual({ noRevAvail, crlUri, ocspUri }, expected, JSON.stringify(spec));
  }
});

test('a responder is named where the base does, or the declaration says so, and taken away where it says so', () => {
  assert.equal(profileOf({ base: 'workload' }).revocation, 'distribution-point');
  assert.equal(profileOf({ base: 'workload', status: 'ocsp' }).revocation, 'ocsp');
  assert.equal(profileOf({ base: 'server' }).revocation, 'ocsp');
  assert.equal(profileOf({ base: 'server', status: 'lists' }).revocation, 'distribution-point');
  assert.notEqual(
    profileDigest(parseProfileSpec({ base: 'workload', status: 'ocsp' })),
    profileDigest(parseProfileSpec({ base: 'workload' })),
  );
});

test('a lifetime outside of the cadence is refused, not cut', () => {
  const critical = { base: 'server', cadence: 'critical', lifetime: { usual: '60d' } };
  assert.deepEqual(broken(critical, { lifetimeMs: 91 * DAY_MS }), ['lifetime']);
  assert.deepEqual(broken({ base: 'server', cadence: 'short-lived' }, { lifetimeMs: 25 * HOUR_MS }), ['lifetime']);
  assert.deepEqual(broken(critical, { lifetimeMs: 90 * DAY_MS }), []);
});

test('approvals are counted', () => {
  const two = { base: 'server', askers: { rest: {} }, approvals: { count: 2, role: 'operator', within: '1h' } };
  assert.deepEqual(broken(two), ['approval']);
  assert.deepEqual(broken(two, {}, { approvals: 1 }), ['approval']);
  assert.deepEqual(broken(two, {}, { approvals: 2 }), []);
});

test('what is explained is what the door decides: no rule is broken exactly when it issues, and every broken rule is told', () => {
  const specs = fc.record({
    base: pick('server', 'workload'),
    names: fc.record({ dns: pick(['www.acme.test'], ['**.acme.test'], []), wildcards: fc.boolean() }),
    keys: pick({}, { curves: ['P-384'] }),
  });
  const changes = fc.record({
    dnsNames: fc.array(pick('www.acme.test', '*.acme.test', 'evil.test', 'a b'), { maxLength: 3 }),
    ipAddresses: fc.array(pick('10.0.0.1', 'x'), { maxLength: 2 }),
    door: pick('rest', 'join', 'acme', 'drill'),
    environment: pick('production', 'staging'),
    lifetimeMs: pick(HOUR_MS, 1_000 * DAY_MS, Number.NaN),
  });
  fc.assert(
    fc.property(specs, changes, fc.boolean(), (spec, changed, identitySuspended) => {
      const asked = { ...order, ...changed } as IssuanceOrder;
      const given = [TEST_NOW, profileOf(spec), asked, { ...facts, identitySuspended }] as const;
      const decision = decideIssuance(...given);
      const told = explainIssuance(...given).filter(({ verdict }) => verdict === 'broken');
      assert.equal(decision.kind === 'issue', told.length === 0);
      const messages = decision.kind === 'refuse' ? decision.reasons.map(({ message }) => message) : [];
      assert.deepEqual(told.flatMap((rule) => rule.messages).toSorted(), messages.toSorted());
    }),
  );
});
