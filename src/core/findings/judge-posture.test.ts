import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { certify, makeHolder } from '../../../test/support/make-certificate.ts';
import { makeTestAuthority, type TestLeaf } from '../../../test/support/test-authority.ts';
import { parseDnsName } from '../identity/dns-name.ts';
import { defaultPolicy, parsePolicy, type Policy } from '../policy/policy.ts';
import { DAY_MS, HOUR_MS } from '../time/instant.ts';
import { judgePosture } from './judge-posture.ts';
import type { PostureDemands } from './posture-demands.ts';
import { postureRules } from './posture-rules.ts';
import type { HttpAnswer, Posture, ServedChain, TlsPosture } from './posture.ts';

type Judged = Exclude<Posture, { kind: 'unreachable' }>;

const now = Date.UTC(2026, 10, 28, 12);
const authority = makeTestAuthority(now);
const stranger = makeTestAuthority(now, 'Stranger');

function served(leaf: TestLeaf = {}, by = authority): ServedChain {
  return { certificates: by.issue({ dnsNames: ['orders.example'], usages: ['server'], ...leaf }).chain, staple: null };
}

const good: TlsPosture = {
  kind: 'tls',
  versions: ['1.2', '1.3'],
  olderSuites: [0xc02b, 0xc02c, 0xcca9],
  serverOrders: true,
  tls13Suites: [0x1302, 0x1301],
  groups: { tls13: [0x11ec, 0x001d, 0x0017], older: [0x001d, 0x0017] },
  primeBits: null,
  schemes: { tls13: [0x0403], tls12: [0x0403] },
  protocols: ['http/1.1'],
  clientCertificate: { kind: 'required', evidence: 'refused' },
  compresses: false,
  renegotiatesSecurely: true,
  renegotiatesForClients: false,
  resumes: { tls13: true, tls12: true },
  earlyDataOctets: 0,
  chains: [served()],
  plaintext: null,
  http: null,
  gaps: [],
  connections: 50,
};

const demands: PostureDemands = {
  policy: defaultPolicy,
  anchors: [authority.root],
  identity: { kind: 'dns', name: parseDnsName('orders.example') },
  clientCertificate: 'required',
  expiresWithinMs: null,
};

function rulesOf(posture: Judged, change: Partial<PostureDemands> = {}): readonly string[] {
  return judgePosture(now, posture, { ...demands, ...change }).map(({ rule }) => rule);
}

const strict: Policy = parsePolicy({ http: { hsts: { maxAgeSeconds: 600, includeSubDomains: true }, answerFields: ['x-frame-options'] } });
const answered = (...fields: readonly (readonly [string, string])[]): HttpAnswer => ({
  statusLine: 'HTTP/1.1 200 OK',
  fields: new Map([['strict-transport-security', 'max-age="600"; IncludeSubDomains'], ['x-frame-options', 'deny'], ...fields]),
});

test('judgePosture() finds nothing in a posture that is as the policy has it', () => {
  assert.deepEqual(judgePosture(now, good, demands), []);
  assert.deepEqual(rulesOf({ ...good, http: answered() }, { policy: strict }), []);
});

/** Each differs from the good posture in one property. */
const cases: readonly (readonly [rule: string, change: Partial<TlsPosture>, demand?: Partial<PostureDemands>])[] = [
  ['plaintext', { plaintext: { statusLine: 'HTTP/1.1 200 OK', location: null } }],
  ['plaintext', { plaintext: { statusLine: 'HTTP/1.1 301 Moved', location: 'http://orders.example/' } }],
  ['version-obsolete', { versions: ['1.1', '1.2', '1.3'] }],
  ['version-obsolete', { versions: ['SSL 3.0', '1.2', '1.3'] }],
  ['version-not-allowed', {}, { policy: parsePolicy({ tls: { minimumVersion: '1.3' } }) }],
  ['version-not-allowed', {}, { policy: parsePolicy({ tls: { maximumVersion: '1.2' } }) }],
  ['version-missing', { versions: ['1.2'], tls13Suites: [] }],
  ['suite-broken', { olderSuites: [0xc02b, 0x0005] }],
  ['suite-broken', { olderSuites: [0xc02b, 0x00a6] }],
  ['suite-broken', { olderSuites: [0xc02b, 0xc006] }],
  ['suite-broken', { olderSuites: [0xc02b, 0x0016] }],
  ['suite-dated', { olderSuites: [0xc02b, 0x009c] }],
  ['suite-dated', { olderSuites: [0xc02b, 0xc009] }],
  ['suite-dated', { olderSuites: [0xc02b, 0xc0ae] }],
  ['suite-not-allowed', { olderSuites: [0xc02b, 0x009e] }],
  ['group-weak', { groups: { tls13: [0x11ec], older: [0x0013] } }],
  ['group-weak', { primeBits: 1_024 }],
  ['group-not-allowed', { groups: { tls13: [0x11ec, 0x0019], older: [] } }],
  ['post-quantum-missing', { groups: { tls13: [0x001d], older: [0x001d] } }],
  ['scheme-weak', { schemes: { tls13: [0x0403], tls12: [0x0403, 0x0203] } }],
  ['compression', { compresses: true }],
  ['renegotiation-insecure', { renegotiatesSecurely: false }],
  ['renegotiation-by-client', { renegotiatesForClients: true }],
  ['early-data', { earlyDataOctets: 16_384 }],
  ['client-certificate-missing', { clientCertificate: { kind: 'none', evidence: '' } }],
  ['client-certificate-missing', { clientCertificate: { kind: 'optional', evidence: '' } }],
  ['client-certificate-unproven', { clientCertificate: { kind: 'unknown', evidence: '' } }],
  ['client-certificate-required', {}, { clientCertificate: 'not-required' }],
  ['certificate-malformed', { chains: [] }],
  ['certificate-malformed', { chains: [{ certificates: [Buffer.from('no DER')], staple: null }] }],
  ['certificate-expired', { chains: [served({ notBefore: now - 2 * DAY_MS, notAfter: now - 1_000 })] }],
  ['certificate-not-yet-valid', { chains: [served({ notBefore: now + HOUR_MS })] }],
  ['certificate-expiring', { chains: [served({ notBefore: now - 9 * DAY_MS, notAfter: now + DAY_MS })] }],
  ['certificate-expiring', {}, { expiresWithinMs: 30 * DAY_MS }],
  ['name-mismatch', { chains: [served({ dnsNames: ['billing.example'] })] }],
  ['chain-incomplete', { chains: [{ certificates: served().certificates.slice(0, 1), staple: null }] }],
  ['chain-untrusted', { chains: [served({}, stranger)] }],
  ['chain-untrusted', { chains: [served({ usages: ['client'] })] }],
  ['chain-order', { chains: [{ certificates: [served().certificates[0]!, stranger.root.der, authority.issuing.der], staple: null }] }],
  ['key-weak', { chains: [served({ publicKey: generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey })] }],
  ['key-weak', { chains: [served({ publicKey: generateKeyPairSync('ec', { namedCurve: 'secp224r1' }).publicKey })] }],
  ['staple-missing', { chains: [served({ mustStaple: true })] }],
  ['staple-invalid', { chains: [{ ...served(), staple: Buffer.from('no DER') }] }],
  ['hsts-missing', { http: { ...answered(), fields: new Map([['x-frame-options', 'DENY']]) } }, { policy: strict }],
  ['hsts-weak', { http: answered(['strict-transport-security', 'max-age=599; includeSubDomains']) }, { policy: strict }],
  ['hsts-weak', { http: answered(['strict-transport-security', 'max-age=600']) }, { policy: strict }],
  ['answer-field-missing', { http: answered(['x-frame-options', 'SAMEORIGIN']) }, { policy: strict }],
];

for (const [rule, change, demand] of cases) {
  test(`judgePosture() finds ${rule}, and that alone: ${Object.keys({ ...change, ...demand }).join()}`, () => {
    const found = new Set(rulesOf({ ...good, ...change }, demand));
    assert.deepEqual([...found], [rule]);
  });
}

test('judgePosture() finds suites out of order only where some are not of the policy', () => {
  assert.deepEqual(rulesOf({ ...good, serverOrders: false }), []);
  assert.ok(rulesOf({ ...good, serverOrders: false, olderSuites: [0xc02b, 0x009e] }).includes('suite-order'));
});

test('judgePosture() of an endpoint without TLS says what there is', () => {
  assert.deepEqual(rulesOf({ kind: 'no-tls', plaintext: null }), ['no-tls']);
  const [finding] = judgePosture(now, { kind: 'no-tls', plaintext: { statusLine: 'HTTP/1.1 200 OK', location: null } }, demands);
  assert.equal(finding?.evidence, 'in the clear: HTTP/1.1 200 OK');
  assert.deepEqual(
    [finding?.severity, finding?.clause, finding?.fix],
    ['critical', postureRules['no-tls'].clause, postureRules['no-tls'].fix],
  );
});

function evidenceOf(statusLine: string): string {
  return judgePosture(now, { kind: 'no-tls', plaintext: { statusLine, location: null } }, demands)[0]?.evidence ?? '';
}

test('judgePosture() writes what a server says without what steers a terminal, and not at any length', () => {
  assert.equal(evidenceOf('a\u001b[31mb\u202ec\nd'), 'in the clear: a\\u{1b}[31mb\\u{202e}c\\u{a}d');
  assert.ok(evidenceOf('x'.repeat(9_999)).length <= 1_001);
});

test('judgePosture() takes a refusal in the clear, and a way to https, for no plaintext', () => {
  for (const plaintext of [
    { statusLine: 'HTTP/1.1 400 Bad Request', location: null },
    { statusLine: 'HTTP/1.0 426 Upgrade Required', location: null },
    { statusLine: 'HTTP/1.1 308 Permanent Redirect', location: 'HTTPS://orders.example/' },
  ])
    assert.deepEqual(rulesOf({ ...good, plaintext }), []);
});

test('judgePosture() tells a certificate of its own from one of a stranger, and does not judge trust by a weak signature', () => {
  const selfSigned = makeRsaSelfSigned();
  const chains = [{ certificates: [selfSigned], staple: null }];
  assert.ok(rulesOf({ ...good, chains }).includes('self-signed'));
  // sha256WithRSAEncryption becomes sha1WithRSAEncryption, outside and inside.
  const weak = Buffer.from(Buffer.from(selfSigned).toString('latin1').replaceAll(SHA256_WITH_RSA, SHA1_WITH_RSA), 'latin1');
  const found = rulesOf({ ...good, chains: [{ certificates: [weak], staple: null }] });
  assert.ok(found.includes('signature-weak') && !found.includes('self-signed'), found.join());
});

test('judgePosture() judges trust, name and client certificates only where it is told to', () => {
  const posture: TlsPosture = { ...good, chains: [served({ dnsNames: ['billing.example'] }, stranger)] };
  assert.deepEqual(rulesOf(posture, { anchors: null, identity: null, clientCertificate: null }), []);
  assert.deepEqual(new Set(rulesOf(posture)), new Set(['name-mismatch', 'chain-untrusted']));
});

test('judgePosture() believes a stapled answer of the issuer only', () => {
  const credential = authority.issue({ dnsNames: ['orders.example'], usages: ['server'], mustStaple: true });
  const chainWith = (staple: Uint8Array): Partial<TlsPosture> => ({ chains: [{ certificates: credential.chain, staple }] });
  const { certificate } = credential;
  assert.deepEqual(rulesOf({ ...good, ...chainWith(authority.answerAbout(certificate)) }), []);
  const revoked = authority.answerAbout(certificate, { status: { kind: 'revoked', at: now - HOUR_MS, reason: 'keyCompromise' } });
  assert.deepEqual(rulesOf({ ...good, ...chainWith(revoked) }), ['certificate-revoked']);
  const old = authority.answerAbout(certificate, { thisUpdate: now - 2 * DAY_MS, nextUpdate: now - DAY_MS });
  assert.deepEqual(rulesOf({ ...good, ...chainWith(old) }), ['staple-invalid']);
  assert.deepEqual(rulesOf({ ...good, ...chainWith(stranger.answerAbout(certificate)) }), ['staple-invalid']);
});

test('judgePosture() warns of an end at half of what renewal in time leaves, and two weeks before it at the earliest', () => {
  const ending = (lifeMs: number, leftMs: number): readonly string[] =>
    rulesOf({ ...good, chains: [served({ notBefore: now - lifeMs + leftMs, notAfter: now + leftMs })] });
  // Renewal is due when 667 thousandths of the life are over.
  for (const [days, warns] of [
    [9, 1.4985],
    [300, 14],
  ] as const) {
    assert.deepEqual(ending(days * DAY_MS, warns * DAY_MS + 2_000), []);
    assert.deepEqual(ending(days * DAY_MS, warns * DAY_MS - 2_000), ['certificate-expiring']);
  }
  const late = parsePolicy({ certificates: { renewAtPermille: { critical: 900, standard: 900 } } });
  const chains = [served({ notBefore: now - 9 * DAY_MS, notAfter: now + DAY_MS })];
  assert.deepEqual(rulesOf({ ...good, chains }, { policy: late }), []);
});

test('judgePosture() looks at each chain that is served, says a fault once, and the worst first', () => {
  const old = served({ notBefore: now - 2 * DAY_MS, notAfter: now - 1_000 });
  const found = rulesOf({ ...good, earlyDataOctets: 1, groups: { tls13: [0x001d], older: [] }, chains: [served(), old, old] });
  assert.deepEqual(found, ['certificate-expired', 'early-data', 'post-quantum-missing']);
});

test('judgePosture() says of an expired certificate of a stranger both', () => {
  const found = rulesOf({ ...good, chains: [served({ notBefore: now - 2 * DAY_MS, notAfter: now - 1_000 }, stranger)] });
  assert.deepEqual(new Set(found), new Set(['certificate-expired', 'chain-untrusted']));
});

test('every rule is found by a case here', () => {
  const elsewhere = ['no-tls', 'suite-order', 'self-signed', 'signature-weak', 'certificate-revoked', 'certificate-lint'];
  assert.deepEqual(new Set([...cases.map(([rule]) => rule), ...elsewhere]), new Set(Object.keys(postureRules)));
  assert.ok(rulesOf({ ...good, chains: [{ certificates: [makeRsaSelfSigned()], staple: null }] }).includes('certificate-lint'));
});

/** A leaf that its own RSA key signed, valid around the moment of these tests. */
function makeRsaSelfSigned(): Uint8Array {
  const self = makeHolder('orders.example', 'rsa-2048');
  const subjectAltNames = { dns: ['orders.example'] };
  return certify(self, self, false, { notBefore: now - DAY_MS, notAfter: now + DAY_MS, subjectAltNames }).der;
}

const SHA256_WITH_RSA = Buffer.from('2a864886f70d01010b', 'hex').toString('latin1');
const SHA1_WITH_RSA = Buffer.from('2a864886f70d010105', 'hex').toString('latin1');
