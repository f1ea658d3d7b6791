import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { certify, makeHolder, makeKey, signTbs, spkiOf, TEST_NOW, type TestKeyKind } from '../../../test/support/make-certificate.ts';
import { parseSpiffeId, type SpiffeId } from '../identity/spiffe-id.ts';
import { parseTrustDomain } from '../identity/trust-domain.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../time/instant.ts';
import { buildTbsCertificate } from '../x509/build-certificate.ts';
import { buildCertificateRequest, parseCertificateRequest, type RequestFields } from '../x509/certificate-request.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { lintTbsCertificate } from '../x509/lint-certificate.ts';
import { buildName } from '../x509/name.ts';
import { oids } from '../x509/oid.ts';
import { type Decision, decideIssuance } from './decide-issuance.ts';
import type { Grant } from './grant.ts';
import type { Asker, IssuanceFacts, IssuanceOrder, IssuanceRule } from './issuance-order.ts';
import { parseNameConstraints } from './parse-name-constraints.ts';
import { type AskerRole, doors, drillFlaws, type BuiltInProfile, profileForJoin, profiles } from './profile.ts';

const id = (path: string): SpiffeId => parseSpiffeId(`spiffe://acme.test${path}`);
const orders = id('/production/orders');
const probe = id('/production/countersign/probe');
const controlPlane = id('/production/countersign/control-plane');
const issuing = makeHolder('Acme Issuing');
const root = makeHolder('Acme Root');
const issuer = certify(issuing, root, true, { notAfter: TEST_NOW + 1_000 * DAY_MS, notBefore: TEST_NOW - 10 * DAY_MS });
const leafKey = makeKey();
const csrOf = (fields: RequestFields = {}, kind?: TestKeyKind): IssuanceOrder['key'] =>
  parseCertificateRequest(buildCertificateRequest(fields, kind ? makeKey(kind) : leafKey));
const plainCsr = csrOf();

const asker = (role: AskerRole, spiffeId: SpiffeId | null = null, scope: Asker['scope'] = ['production']): Asker => ({
  role,
  spiffeId,
  scope,
});

/** An order that is issued, for each profile. */
const good: { readonly [N in BuiltInProfile]: IssuanceOrder } = (() => {
  const workload: IssuanceOrder = {
    door: 'join',
    asker: asker('data-plane', orders),
    environment: 'production',
    key: plainCsr,
    spiffeId: orders,
    dnsNames: [],
    ipAddresses: [],
    authorityName: null,
  };
  const authority: IssuanceOrder = {
    ...workload,
    door: 'control-plane',
    asker: asker('admin'),
    spiffeId: null,
    authorityName: buildName([[oids.commonName, 'New']]),
  };
  const server: IssuanceOrder = {
    ...workload,
    door: 'rest',
    asker: asker('operator'),
    spiffeId: null,
    dnsNames: ['www.acme.test'],
    ipAddresses: ['10.0.0.1'],
  };
  return {
    root: authority,
    issuing: authority,
    workload,
    server,
    'server-shortlived': server,
    'ocsp-signer': { ...authority, asker: asker('control-plane') },
    'cmp-signer': { ...authority, asker: asker('control-plane') },
    'scep-ra': { ...authority, asker: asker('control-plane'), key: csrOf({}, 'rsa-3072') },
    'control-plane': {
      ...workload,
      door: 'control-plane',
      asker: asker('control-plane'),
      spiffeId: controlPlane,
      dnsNames: ['localhost'],
      ipAddresses: ['127.0.0.1'],
    },
    probe: { ...workload, asker: asker('scanner', probe), spiffeId: probe },
    drill: { ...workload, door: 'drill', asker: asker('scanner', probe), spiffeId: probe },
  };
})();

const facts: IssuanceFacts = {
  trustDomain: parseTrustDomain('acme.test'),
  issuer,
  issuerEnvironment: 'production',
  crlUri: 'http://crl.acme.test/1.crl',
  identitySuspended: false,
  keyBlocked: false,
};
const factsFor = (name: BuiltInProfile): IssuanceFacts =>
  name === 'root' ? { ...facts, issuer: null } : name === 'issuing' ? { ...facts, issuer: rootIssuer } : facts;
const rootIssuer = certify(root, root, true, { notAfter: TEST_NOW + 9_000 * DAY_MS });

function decide(name: BuiltInProfile, changes: Partial<IssuanceOrder> = {}, changedFacts: Partial<IssuanceFacts> = {}): Decision {
  return decideIssuance(TEST_NOW, profiles[name], { ...good[name], ...changes }, { ...factsFor(name), ...changedFacts });
}

function refuses(rule: IssuanceRule, decision: Decision, what: string): void {
  assert.ok(decision.kind === 'refuse', `issued: ${what}`);
  assert.deepEqual([...new Set(decision.reasons.map((reason) => reason.rule))], [rule], what);
}

/** How far the validity reaches back and forth from the moment. */
const validity = (lifetimeMs: number): readonly [number, number] => {
  const decision = decideIssuance(TEST_NOW + 789, profiles.workload, { ...good.workload, lifetimeMs }, facts);
  assert.ok(decision.kind === 'issue');
  const { notBefore, notAfter } = decision.template.fields;
  return [TEST_NOW - notBefore, notAfter - TEST_NOW];
};

test('what is issued under every profile passes the lint and verifies as asked', () => {
  for (const name of Object.keys(profiles) as BuiltInProfile[]) {
    const decision = decide(name);
    assert.ok(decision.kind === 'issue', `${name}: ${JSON.stringify(decision)}`);
    const by = name === 'root' ? { name: buildName([]), key: leafKey } : name === 'issuing' ? root : issuing;
    const tbs = buildTbsCertificate({ ...decision.template.fields, serial: Buffer.alloc(17, 1), signatureAlgorithm: 'ecdsa-sha256' });
    const lint = lintTbsCertificate(tbs, factsFor(name).issuer, { now: TEST_NOW, exceptions: decision.template.exceptions });
    assert.equal(lint.kind, 'clean', JSON.stringify(lint));
    const certificate = parseCertificate(signTbs(tbs, by));
    assert.equal(certificate.subjectAltNames.uri[0] ?? null, good[name].spiffeId);
    assert.equal(certificate.notBefore <= TEST_NOW && TEST_NOW <= certificate.notAfter, true);
  }
});

test('a workload certificate is exactly an X509-SVID', () => {
  const decision = decide('workload', { dnsNames: ['orders.acme.test'] });
  assert.ok(decision.kind === 'issue');
  const { fields, exceptions } = decision.template;
  assert.deepEqual(fields.keyUsage, ['digitalSignature']);
  assert.deepEqual(fields.extendedKeyUsage, [oids.serverAuth, oids.clientAuth]);
  assert.deepEqual(fields.basicConstraints, { ca: false, pathLength: null });
  assert.deepEqual(fields.subjectAltNames?.uri, [orders]);
  assert.deepEqual(fields.subjectAltNames?.dns, ['orders.acme.test']);
  assert.equal(fields.subject.text, '');
  assert.equal(fields.subjectKeyId, undefined);
  assert.equal(Buffer.from(fields.authorityKeyId!).toString('hex'), issuer.subjectKeyId);
  assert.equal(fields.crlUri, facts.crlUri);
  assert.equal(fields.notBefore, TEST_NOW - 5 * MINUTE_MS);
  assert.equal(fields.notAfter, TEST_NOW + DAY_MS - SECOND_MS);
  assert.deepEqual(exceptions, []);
});

test('decideIssuance() refuses who may not ask, by any door', () => {
  const everyRole: readonly AskerRole[] = [
    'admin',
    'operator',
    'auditor',
    'partner-manager',
    'ci',
    'viewer',
    'data-plane',
    'scanner',
    'control-plane',
  ];
  for (const name of Object.keys(profiles) as BuiltInProfile[]) {
    for (const door of doors) {
      for (const role of everyRole) {
        const roles = profiles[name].askers[door];
        const engine = door === 'external' && role === 'control-plane' && roles !== undefined;
        const allowed = engine || roles?.includes(role) === true;
        const machine = role === 'data-plane' || role === 'scanner';
        const decision = decide(name, { door, asker: asker(role, machine ? good[name].spiffeId : null) });
        const told = decision.kind === 'refuse' && decision.reasons.some(({ rule }) => rule === 'asker');
        assert.equal(told, !allowed || (machine && good[name].spiffeId === null), `${name} ${door} ${role}`);
      }
    }
  }
});

test('nobody but the control plane itself gets its identity, and nobody but the scanner the probe', () => {
  for (const name of ['workload', 'probe', 'drill'] as const) {
    refuses(
      'reserved-name',
      decide(name, { spiffeId: controlPlane, asker: asker(name === 'workload' ? 'data-plane' : 'scanner', controlPlane) }),
      name,
    );
  }
  refuses('reserved-name', decide('workload', { spiffeId: probe, asker: asker('data-plane', probe) }), 'the probe as a workload');
  const below = id('/production/countersign');
  refuses('reserved-name', decide('workload', { spiffeId: below, asker: asker('data-plane', below) }), 'the reserved segment itself');
  refuses('reserved-name', decide('probe', { spiffeId: orders, asker: asker('scanner', orders) }), 'a workload as the probe');
  refuses('reserved-name', decide('control-plane', { spiffeId: probe }), 'the probe as the control plane');
  refuses('reserved-name', decide('drill', { spiffeId: orders }), 'a drill in the name of a service');
  refuses('reserved-name', decide('drill', { spiffeId: id('/production/countersign/control-plane/x') }), 'a drill below the control plane');
  assert.equal(decide('drill', { spiffeId: id('/production/countersign/stranger') }).kind, 'issue');
});

test('decideIssuance() keeps identities to their trust domain, environment and holder', () => {
  const staging = id('/staging/orders');
  const foreign = parseSpiffeId('spiffe://other.test/production/orders');
  refuses('identity', decide('workload', { spiffeId: foreign, asker: asker('data-plane', foreign) }), 'another trust domain');
  refuses(
    'environment',
    decide('workload', { spiffeId: staging, asker: asker('data-plane', staging) }),
    'another environment than the order',
  );
  refuses('environment', decide('workload', { asker: asker('data-plane', orders, ['staging']) }), 'a credential for another environment');
  refuses('environment', decide('workload', { asker: asker('data-plane', orders, []) }), 'a credential for no environment');
  refuses('environment', decide('workload', {}, { issuerEnvironment: 'staging' }), 'an authority of another environment');
  refuses('identity', decide('workload', { spiffeId: id('/production/payments') }), "another's identity");
  refuses(
    'identity',
    decide('workload', { spiffeId: id('/production/orders/v2'), asker: asker('data-plane', id('/production/orders/v2')) }),
    'a third segment',
  );
  refuses('identity', decide('workload', { spiffeId: null, asker: asker('ci'), door: 'rest' }), 'no identity');
  refuses('identity', decide('server', { spiffeId: orders }), 'an identity for a server');
  refuses('asker', decide('workload', { asker: asker('data-plane', null) }), 'a data plane that proved nothing');
  assert.equal(decide('workload', { asker: asker('data-plane', orders, '*') }, { issuerEnvironment: '*' }).kind, 'issue');
});

test('decideIssuance() refuses names that are malformed, too many or not of the profile', () => {
  for (const name of ['a b', '', '*', '*.test', 'a_b.test', '10.0.0.1', 'xn--'])
    refuses('names', decide('server', { dnsNames: [name] }), name);
  for (const address of ['300.0.0.1', '::1%lo', 'localhost']) refuses('names', decide('server', { ipAddresses: [address] }), address);
  refuses('names', decide('server', { dnsNames: Array.from({ length: 101 }, (_, i) => `h${i}.acme.test`) }), '101 names');
  refuses('names', decide('server', { dnsNames: [], ipAddresses: [] }), 'a server without a name');
  refuses('names', decide('probe', { dnsNames: ['orders.acme.test'] }), 'a probe with a host name');
  refuses('names', decide('drill', { ipAddresses: ['10.0.0.1'] }), 'a drill with an address');
  refuses('names', decide('workload', { authorityName: buildName([[oids.commonName, 'x']]) }), 'a workload with a distinguished name');
  refuses('names', decide('issuing', { authorityName: null }), 'an authority without a name');
  refuses('names', decide('issuing', { authorityName: buildName([]) }), 'an authority with an empty name');
  refuses('names', decide('root', { dnsNames: ['a.test'] }), 'a root with a host name');
  const same = decide('server', { dnsNames: ['WWW.acme.test', 'www.acme.test'], ipAddresses: ['::1', '0:0::1'] });
  assert.ok(same.kind === 'issue');
  assert.deepEqual([same.template.fields.subjectAltNames?.dns, same.template.fields.subjectAltNames?.ip], [['www.acme.test'], ['::1']]);
});

test('decideIssuance() refuses a CSR that asks for more than the order', () => {
  refuses('csr-names', decide('workload', { key: csrOf({ uris: ['spiffe://acme.test/production/payments'] }) }), 'another identity');
  refuses('csr-names', decide('workload', { key: csrOf({ dnsNames: ['payments.acme.test'] }) }), 'a host name');
  refuses('csr-names', decide('server', { key: csrOf({ ipAddresses: ['10.0.0.2'] }) }), 'another address');
  refuses('csr-names', decide('server', { key: csrOf({ subjectCommonName: 'admin' }) }), 'a common name that is no name');
  const repeated = csrOf({ subjectCommonName: 'www.acme.test', dnsNames: ['WWW.acme.test'], ipAddresses: ['10.0.0.1'] });
  assert.equal(decide('server', { key: repeated }).kind, 'issue');
});

test('decideIssuance() refuses keys of the wrong kind, size or owner', () => {
  const rsa = (bits: number, exponent = 65_537, pss = false): IssuanceOrder['key'] => ({
    ...plainCsr,
    publicKeyKind: { kind: 'rsa', bits, exponent, pss },
  });
  for (const key of [
    rsa(1024),
    rsa(2047),
    rsa(8192),
    rsa(2048, 3),
    rsa(2048, 65_536),
    rsa(2048, Number.POSITIVE_INFINITY),
    rsa(2048, 65_537, true),
  ]) {
    refuses('key', decide('workload', { key }), JSON.stringify(key.publicKeyKind));
  }
  for (const publicKeyKind of [{ kind: 'unknown', algorithm: '1.2.3' }, { kind: 'ed448' }] as const) {
    refuses('key', decide('workload', { key: { ...plainCsr, publicKeyKind } }), publicKeyKind.kind);
  }
  refuses('key', decide('issuing', { key: rsa(2048) }), 'RSA 2048 for an authority');
  refuses('key', decide('workload', {}, { keyBlocked: true }), 'blocked');
  refuses(
    'key',
    decide('workload', { key: { ...plainCsr, spki: spkiOf(issuing.key), spkiSha256: issuer.spkiSha256 } }),
    "the authority's own",
  );
  for (const kind of ['P-384', 'P-521', 'ed25519', 'rsa-2048'] as const)
    assert.equal(decide('workload', { key: csrOf({}, kind) }).kind, 'issue', kind);
  const limited = { ...profiles.workload, keys: { curves: ['P-384'] as const, ed25519: false, rsaBits: null } };
  for (const key of [plainCsr, csrOf({}, 'ed25519'), rsa(2048)])
    refuses('key', decideIssuance(TEST_NOW, limited, { ...good.workload, key }, facts), 'not of a narrower profile');
});

test('decideIssuance() refuses lifetimes outside the profile, and past the end of the authority', () => {
  const { min, max } = profiles.workload.lifetimeMs;
  for (const lifetimeMs of [0, -1, min - 1, max + 1, Number.NaN, Number.POSITIVE_INFINITY])
    refuses('lifetime', decide('workload', { lifetimeMs }), String(lifetimeMs));
  const ending = certify(issuing, root, true, { notAfter: TEST_NOW + HOUR_MS });
  refuses('lifetime', decide('workload', { lifetimeMs: 2 * HOUR_MS }, { issuer: ending }), 'asked for longer than the authority');
  const cut = decide('workload', {}, { issuer: ending });
  assert.ok(cut.kind === 'issue');
  assert.equal(cut.template.fields.notAfter, ending.notAfter, 'the usual lifetime is cut');
  for (const changes of [{ notAfter: TEST_NOW - SECOND_MS }, { notBefore: TEST_NOW + SECOND_MS }]) {
    refuses('issuer', decide('workload', {}, { issuer: certify(issuing, root, true, changes) }), 'an authority that is not valid now');
  }
});

test('notBefore lies back by a tenth of the lifetime, at most five minutes, in whole seconds', () => {
  assert.deepEqual(validity(DAY_MS), [5 * MINUTE_MS, DAY_MS - SECOND_MS]);
  assert.deepEqual(validity(60 * SECOND_MS), [6 * SECOND_MS, 59 * SECOND_MS]);
  assert.deepEqual(validity(SECOND_MS), [0, 0]);
});

test('decideIssuance() signs nothing that the authority may not sign', () => {
  refuses('issuer', decide('workload', {}, { issuer: null }), 'a workload without an issuer');
  refuses('issuer', decide('root', {}, { issuer: rootIssuer }), 'a root by another');
  refuses(
    'issuer',
    decide(
      'issuing',
      {},
      { issuer: certify(root, root, true, { basicConstraints: { ca: true, pathLength: 0 }, notAfter: rootIssuer.notAfter }) },
    ),
    'path length 0',
  );
  refuses('issuer', decide('workload', {}, { issuer: certify(issuing, root, false, { notAfter: issuer.notAfter }) }), 'a leaf as issuer');
  refuses(
    'issuer',
    decide('workload', {}, { issuer: certify(issuing, root, true, { keyUsage: ['cRLSign'], notAfter: issuer.notAfter }) }),
    'without keyCertSign',
  );
  const constrained = certify(issuing, root, true, {
    nameConstraints: { permitted: [{ kind: 'uri', host: 'other.test' }], excluded: [] },
    notAfter: issuer.notAfter,
  });
  refuses('constraints', decide('workload', {}, { issuer: constrained }), 'name constraints');
  const noAddresses = certify(issuing, root, true, {
    nameConstraints: parseNameConstraints([], ['ip:0.0.0.0/0', 'ip:::/0'])!,
    notAfter: issuer.notAfter,
  });
  for (const address of ['203.0.113.9', '2001:db8::9'])
    refuses('constraints', decide('server', { dnsNames: [], ipAddresses: [address] }, { issuer: noAddresses }), address);
  assert.equal(decide('server', { dnsNames: ['a.acme.test'], ipAddresses: [] }, { issuer: noAddresses }).kind, 'issue');
});

test('by ACME decideIssuance() certifies proven names only, each by itself', () => {
  const ask = (provenNames: readonly string[] | undefined, changes: Partial<IssuanceOrder> = {}): Decision => {
    const account: Asker = { ...asker('acme-account'), ...(provenNames === undefined ? {} : { provenNames }) };
    return decide('server', { door: 'acme', asker: account, ...changes });
  };
  assert.equal(ask(['www.acme.test', '10.0.0.1']).kind, 'issue');
  refuses('proven-names', ask(undefined), 'nothing proven');
  refuses('proven-names', ask([]), 'an empty list');
  refuses('proven-names', ask(['www.acme.test']), 'the address is not proven');
  refuses('proven-names', ask(['acme.test', '10.0.0.1']), 'the name above');
  refuses('proven-names', ask(['*.acme.test', '10.0.0.1']), 'a wildcard for one of its names');
  refuses('proven-names', ask(['acme.test'], { dnsNames: ['*.acme.test'], ipAddresses: [] }), 'a wildcard by its base');
  refuses('proven-names', ask(['www.acme.test', '10.0.0.10']), 'another address');
  refuses('asker', ask(['www.acme.test', '10.0.0.1'], { door: 'rest' }), 'an account at another door');
  refuses('asker', decide('workload', { door: 'acme' }), 'an identity by ACME');
});

test('a suspended identity gets nothing', () => {
  refuses('suspended', decide('workload', {}, { identitySuspended: true }), 'suspended');
});

test('only drills are flawed, each in one property and with its named exception', () => {
  for (const flaw of drillFlaws) {
    for (const name of ['workload', 'server', 'control-plane', 'probe'] as const)
      refuses('flaw', decide(name, { flaw }), `${name} ${flaw}`);
    const [decision, plain] = [decide('drill', { flaw }), decide('drill')];
    assert.ok(decision.kind === 'issue' && plain.kind === 'issue');
    const { fields, exceptions } = decision.template;
    assert.equal(exceptions.length, 1);
    const same =
      flaw === 'wrong-usage'
        ? { ...fields, extendedKeyUsage: plain.template.fields.extendedKeyUsage }
        : { ...fields, notBefore: plain.template.fields.notBefore, notAfter: plain.template.fields.notAfter };
    assert.deepEqual(same, plain.template.fields, flaw);
    const tbs = buildTbsCertificate({ ...fields, serial: Buffer.alloc(17, 1), signatureAlgorithm: 'ecdsa-sha256' });
    assert.equal(lintTbsCertificate(tbs, issuer, { now: TEST_NOW, exceptions: [] }).kind, 'faulty', `${flaw} without its exception`);
    const lint = lintTbsCertificate(tbs, issuer, { now: TEST_NOW, exceptions });
    assert.ok(lint.kind === 'clean', JSON.stringify(lint));
    assert.deepEqual(
      lint.excepted.map(({ rule }) => rule),
      exceptions,
    );
  }
});

test('decideIssuance() tells all reasons, not the first', () => {
  const decision = decide(
    'workload',
    {
      door: 'rest',
      asker: asker('viewer', null, ['staging']),
      spiffeId: controlPlane,
      dnsNames: ['a b'],
      key: csrOf({ dnsNames: ['x.test'] }),
      lifetimeMs: 0,
      flaw: 'expired',
    },
    { identitySuspended: true, keyBlocked: true },
  );
  assert.ok(decision.kind === 'refuse');
  const rules = new Set(decision.reasons.map(({ rule }) => rule));
  assert.deepEqual(rules, new Set(['asker', 'environment', 'reserved-name', 'names', 'csr-names', 'key', 'lifetime', 'flaw', 'suspended']));
});

test('the scanner joins as the probe, everybody else as a workload', () => {
  assert.equal(profileForJoin('scanner'), 'probe');
  assert.equal(profileForJoin('data-plane'), 'workload');
});

test('no order makes decideIssuance() throw, and none is issued outside its bounds', () => {
  const anyOrder = fc.record({
    name: fc.constantFrom(...(Object.keys(profiles) as BuiltInProfile[])),
    door: fc.constantFrom(...doors),
    role: fc.constantFrom<AskerRole>('admin', 'operator', 'ci', 'data-plane', 'scanner', 'control-plane', 'viewer'),
    spiffeId: fc.constantFrom(null, orders, probe, controlPlane, id('/staging/orders')),
    dnsNames: fc.array(fc.oneof(fc.string(), fc.constant('a.acme.test')), { maxLength: 3 }),
    ipAddresses: fc.array(fc.oneof(fc.string(), fc.ipV4(), fc.ipV6()), { maxLength: 3 }),
    lifetimeMs: fc.option(fc.double(), { nil: undefined }),
    flaw: fc.option(fc.constantFrom(...drillFlaws), { nil: undefined }),
  });
  fc.assert(
    fc.property(anyOrder, ({ name, door, role, lifetimeMs, flaw, ...names }) => {
      const optional = { ...(lifetimeMs === undefined ? {} : { lifetimeMs }), ...(flaw === undefined ? {} : { flaw }) };
      const decision = decide(name, { door, asker: asker(role, names.spiffeId), ...names, ...optional });
      if (decision.kind === 'refuse') return assert.ok(decision.reasons.length > 0);
      assert.ok(decision.kind === 'issue');
      const { notBefore, notAfter } = decision.template.fields;
      assert.ok(notBefore <= notAfter && Number.isInteger(notBefore / SECOND_MS) && Number.isInteger(notAfter / SECOND_MS));
      assert.ok(notAfter - TEST_NOW <= profiles[name].lifetimeMs.max);
      assert.ok(profiles[name].askers[door]?.includes(role));
    }),
    { numRuns: 500 },
  );
});

/** Where a certificate of this profile says that its revocation is told. */
const said = (name: BuiltInProfile, ocspUri: string | null = 'http://ocsp.acme.test/ocsp') => {
  const decision = decide(name, {}, { ocspUri });
  assert.ok(decision.kind === 'issue', name);
  const { crlUri, ocspUri: responder, ocspNoCheck, noRevAvail } = decision.template.fields;
  return { crl: crlUri !== undefined, ocsp: responder !== undefined, ocspNoCheck, noRevAvail };
};

test('decideIssuance() says where revocation is told: a list, a responder too, or that there is none', () => {
  const nothing = { crl: false, ocsp: false, ocspNoCheck: undefined, noRevAvail: undefined };
  assert.deepEqual(said('workload'), { ...nothing, crl: true });
  assert.deepEqual(said('server'), { ...nothing, crl: true, ocsp: true });
  assert.deepEqual(said('server', null), { ...nothing, crl: true });
  assert.deepEqual(said('server-shortlived'), { ...nothing, noRevAvail: true });
  assert.deepEqual(said('ocsp-signer'), { ...nothing, ocspNoCheck: true });
  assert.deepEqual(said('root'), nothing);
});

test('decideIssuance() makes a responder for the control plane alone, with a distinguished name alone', () => {
  for (const role of ['admin', 'operator', 'ci', 'data-plane', 'scanner', 'viewer'] as const) {
    const decision = decide('ocsp-signer', { asker: asker(role, role === 'data-plane' || role === 'scanner' ? orders : null) });
    assert.equal(decision.kind, 'refuse', role);
  }
  refuses('names', decide('ocsp-signer', { authorityName: null }), 'no name');
  refuses('names', decide('ocsp-signer', { dnsNames: ['www.acme.test'] }), 'a host');
  assert.equal(decide('ocsp-signer', { spiffeId: orders }).kind, 'refuse', 'an identity');
});

test('decideIssuance() makes a signer of CMP answers for the control plane alone, known by its key, and on a list', () => {
  for (const role of ['admin', 'operator', 'ci', 'data-plane', 'holder', 'viewer'] as const)
    assert.equal(decide('cmp-signer', { asker: asker(role, role === 'data-plane' ? orders : null) }).kind, 'refuse', role);
  refuses('names', decide('cmp-signer', { authorityName: null }), 'no name');
  refuses('names', decide('cmp-signer', { dnsNames: ['www.acme.test'] }), 'a host');
  const decision = decide('cmp-signer');
  assert.ok(decision.kind === 'issue');
  assert.equal(decision.template.fields.subjectKeyId?.length, 20);
  assert.equal(said('cmp-signer').crl, true);
});

test('a host of the control plane is certified by its own door only, wildcards over it included', () => {
  const own = { reservedNames: ['cs.acme.test', '192.0.2.1'] };
  for (const names of [['cs.acme.test'], ['CS.acme.test'], ['*.acme.test']]) {
    refuses('reserved-name', decide('server', hosts(names), own), names[0]!);
  }
  refuses('reserved-name', decide('server', hosts([], ['192.0.2.1']), own), 'its address');
  assert.equal(decide('server', hosts(['api.acme.test', 'a.cs.acme.test']), own).kind, 'issue', 'names beside and below it');
});

test('a credential with a grant buys nothing outside of it', () => {
  const grant: Grant = {
    source: 'ci/deploy',
    environment: 'production',
    doors: ['rest'],
    profiles: ['server'],
    spiffeId: null,
    dnsNames: ['api.acme.test'],
    ipAddresses: [],
    maxLifetimeMs: DAY_MS,
  };
  const { server } = good;
  const key = { ...server.key, subjectAltNames: { ...server.key.subjectAltNames, dns: [], ip: [] } };
  const order = (changes: Partial<Grant> = {}, names: readonly string[] = ['api.acme.test']) => ({
    asker: { ...server.asker, grant: { ...grant, ...changes } },
    dnsNames: names,
    ipAddresses: [],
    key,
  });
  const issued = decide('server', order({}, ['API.acme.test']));
  assert.ok(issued.kind === 'issue', JSON.stringify(issued));
  assert.equal(issued.template.fields.notAfter < TEST_NOW + DAY_MS, true, 'and lives no longer than granted');
  refuses('grant', decide('server', order({ profiles: ['workload'] })), 'another profile');
  refuses('grant', decide('server', order({ doors: ['join'] })), 'another door');
  refuses('grant', decide('server', order({ environment: 'staging' })), 'another environment');
  refuses('grant', decide('server', order({}, ['api.acme.test', 'pay.acme.test'])), 'another name');
  refuses('grant', decide('server', order({}, ['*.acme.test'])), 'a wildcard over it');
  refuses('grant', decide('server', { ...order(), ipAddresses: ['192.0.2.7'] }), 'an address');
  refuses('grant', decide('server', { ...order(), lifetimeMs: 2 * DAY_MS }), 'a longer life');
});

/** An order for these names, by a CSR that asks for none. */
function hosts(dnsNames: readonly string[], ipAddresses: readonly string[] = []): Partial<IssuanceOrder> {
  const { key } = good.server;
  return { dnsNames, ipAddresses, key: { ...key, subjectAltNames: { ...key.subjectAltNames, dns: [], ip: [] } } };
}
