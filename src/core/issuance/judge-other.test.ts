import assert from 'node:assert/strict';
import { test } from 'node:test';
import { certify, makeHolder, makeKey, TEST_NOW } from '../../../test/support/make-certificate.ts';
import { parseTrustDomain } from '../identity/trust-domain.ts';
import { DAY_MS } from '../time/instant.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../x509/certificate-request.ts';
import { oids } from '../x509/oid.ts';
import { type Decision, decideIssuance } from './decide-issuance.ts';
import type { Grant } from './grant.ts';
import type { Asker, IssuanceFacts, IssuanceOrder, IssuanceRule, OtherAuthority } from './issuance-order.ts';
import { parseProfileSpec } from './parse-profile-spec.ts';
import { type Profile, type ProfileName, profiles } from './profile.ts';
import { compileProfile } from './profile-spec.ts';

type Asked = Parameters<typeof buildCertificateRequest>[0];
type Change = {
  readonly asked?: Asked;
  readonly key?: Parameters<typeof makeKey>[0];
  readonly asker?: Partial<Asker>;
  readonly order?: Partial<IssuanceOrder>;
  readonly other?: Partial<OtherAuthority>;
  readonly facts?: Partial<IssuanceFacts>;
  readonly profile?: object;
};

const web = 'public-web' as ProfileName;
const plain = { base: 'server', names: { wildcards: true } };

function decide({ asked = { dnsNames: ['www.acme.test'] }, key, asker = {}, order, other, facts, profile = plain }: Change = {}): Decision {
  const csr = parseCertificateRequest(buildCertificateRequest(asked, makeKey(key)));
  const { dns, ip } = csr.subjectAltNames;
  return decideIssuance(
    TEST_NOW,
    compileProfile(web, parseProfileSpec(profile)),
    {
      door: 'external',
      asker: { role: 'ci', scope: ['production'], spiffeId: null, name: 'release', ...asker },
      environment: 'production',
      key: csr,
      spiffeId: null,
      dnsNames: dns,
      ipAddresses: ip,
      authorityName: null,
      ...order,
    },
    {
      trustDomain: parseTrustDomain('acme.test'),
      issuer: null,
      issuerEnvironment: 'production',
      crlUri: null,
      identitySuspended: false,
      keyBlocked: false,
      reservedNames: ['cs.acme.test'],
      other: {
        name: 'public',
        profiles: [web],
        allowedNames: ['acme.test', '*.acme.test', 'one.deep.acme.test', '192.0.2.7'],
        challenge: 'dns-01',
        lifetimeMs: null,
        ...other,
      },
      ...facts,
    },
  );
}

function refuses(rule: IssuanceRule, change: Change, message: RegExp): void {
  const decision = decide(change);
  assert.ok(decision.kind === 'refuse', `ordered: ${JSON.stringify(change)}`);
  assert.deepEqual([...new Set(decision.reasons.map((reason) => reason.rule))], [rule], JSON.stringify(decision.reasons));
  assert.match(decision.reasons.map((reason) => reason.message).join('; '), message);
}

const grant: Grant = {
  source: 'ci/deploy',
  environment: 'production',
  doors: ['external'],
  profiles: [web],
  spiffeId: null,
  dnsNames: ['www.acme.test'],
  ipAddresses: [],
  maxLifetimeMs: 90 * DAY_MS,
};
const http = { challenge: 'http-01' } as const;

test('another CA is asked for allowed names, and what it may give is bounded by the profile', () => {
  const decision = decide({
    asked: { dnsNames: ['www.acme.test', 'ACME.test', 'one.deep.acme.test', '*.acme.test'] },
    facts: { reservedNames: [] },
  });
  assert.ok(decision.kind === 'order', JSON.stringify(decision));
  assert.deepEqual(decision.names.dns, ['www.acme.test', 'acme.test', 'one.deep.acme.test', '*.acme.test']);
  assert.deepEqual([decision.purposes, decision.longestMs], [[oids.serverAuth], 199 * DAY_MS]);
  const { kind } = decide({ asked: { dnsNames: ['acme.test'], ipAddresses: ['192.0.2.7'] }, other: http });
  assert.equal(kind, 'order');
  assert.equal(decide({ key: 'P-384' }).kind, 'order');
  const short = decide({ profile: { base: 'server', cadence: 'critical', lifetime: { usual: '30d', max: '47d' } } });
  assert.ok(short.kind === 'order' && short.longestMs === 47 * DAY_MS);
  const granted = decide({ asker: { grant } });
  assert.ok(granted.kind === 'order' && granted.longestMs === 90 * DAY_MS, 'and by the grant of who asks');
});

test('what renews by itself is let in by the door alone, and by nothing less', () => {
  const engine = { role: 'control-plane', name: 'external' } as const;
  const named = { base: 'server', askers: { external: { roles: ['operator'], identities: ['release'] } } };
  assert.equal(decide({ asker: engine, profile: named }).kind, 'order');
  refuses('asker', { asker: engine, profile: { base: 'server', askers: { rest: {} } } }, /not issued by the door external/);
  refuses('approval', { asker: engine, profile: { base: 'server', askers: { external: {} }, approvals: {} } }, /0 of 1/);
  refuses('environment', { asker: { ...engine, scope: ['staging'] } }, /does not cover/);
});

test('another CA is not asked by whom, for what or under which profile the policy does not have', () => {
  refuses('asker', { profile: { base: 'server', askers: { rest: {} } } }, /not issued by the door external/);
  refuses('asker', { asker: { role: 'viewer' } }, /viewer may not ask/);
  refuses('asker', { asker: { role: 'acme-account' } }, /may not ask/);
  refuses(
    'asker',
    { asker: { role: 'operator' }, profile: { base: 'server', askers: { external: { roles: ['ci'] } } } },
    /operator may not ask/,
  );
  refuses('asker', { profile: { base: 'server', askers: { external: { identities: ['other'] } } } }, /does not name who asks/);
  refuses('environment', { asker: { scope: ['staging'] } }, /does not cover production/);
  refuses('environment', { facts: { issuerEnvironment: 'staging' } }, /authority serves staging/);
  refuses('issuer', { other: { profiles: ['server'] } }, /not asked under profile public-web, expected server/);
  refuses('issuer', { other: { profiles: [] } }, /declared anew/);
  refuses('issuer', { order: { door: 'rest' } }, /door rest leads to no other CA/);
  const own = certify(makeHolder('Acme Issuing'), makeHolder('Acme Root'), true, { notAfter: TEST_NOW + 900 * DAY_MS });
  const signed = decideIssuance(TEST_NOW, profiles.server as Profile, orderOf('external'), { ...factsOf(), issuer: own });
  assert.ok(
    signed.kind === 'refuse' && signed.reasons.some(({ rule }) => rule === 'issuer'),
    'and an authority of ours signs nothing by that door',
  );
});

test('another CA is not asked for names, keys and lives that it, the profile or the house does not allow', () => {
  refuses('names', { asked: {} }, /needs a DNS name or an address/);
  refuses('constraints', { asked: { dnsNames: ['www.other.test'] } }, /not among the allowed/);
  refuses('constraints', { asked: { dnsNames: ['two.deep.acme.test'] } }, /not among the allowed/);
  refuses('constraints', { asked: { dnsNames: ['notacme.test'] } }, /not among the allowed/);
  refuses('constraints', { asked: { dnsNames: ['*.deep.acme.test'] } }, /not among the allowed/);
  refuses('constraints', { asked: { ipAddresses: ['192.0.2.1'] }, other: http }, /192\.0\.2\.1 is not among/);
  refuses('issuer', { asked: { ipAddresses: ['192.0.2.7'] } }, /by dns-01/);
  refuses('issuer', { asked: { dnsNames: ['*.acme.test'] }, other: http, facts: { reservedNames: [] } }, /dns-01 only/);
  refuses('permitted', { profile: { base: 'server', names: { dns: ['api.acme.test'] } } }, /not permitted/);
  refuses('permitted', { asked: { dnsNames: ['*.acme.test'] }, profile: { base: 'server' }, facts: { reservedNames: [] } }, /wildcard/);
  refuses('reserved-name', { asked: { dnsNames: ['CS.acme.test'] } }, /control plane's own/);
  refuses('reserved-name', { asked: { dnsNames: ['*.acme.test'] } }, /control plane's own/);
  refuses('csr-names', { asked: { dnsNames: ['acme.test'], uris: ['spiffe://acme.test/production/orders'] } }, /besides the order/);
  const many = Array.from({ length: 101 }, (_, at) => `n${at}.acme.test`);
  refuses('names', { asked: { dnsNames: many } }, /more than 100/);
  refuses('key', { key: 'ed25519' }, /none that public authorities take/);
  refuses('key', { key: 'P-384', profile: { ...plain, keys: { curves: ['P-256'] } } }, /public key is on P-384/);
  refuses('key', { facts: { keyBlocked: true } }, /blocked/);
  refuses('lifetime', { order: { lifetimeMs: DAY_MS } }, /chooses the lifetime/);
  refuses('lifetime', { other: { lifetimeMs: 200 * DAY_MS } }, /expected at most/);
  refuses('lifetime', { other: { lifetimeMs: 90 * DAY_MS }, profile: { base: 'server', lifetime: { max: '47d' } } }, /expected at most/);
  refuses(
    'approval',
    { profile: { base: 'server', askers: { external: {} }, approvals: { count: 2 } }, facts: { approvals: 1 } },
    /1 of 2/,
  );
});

test('a grant buys nothing of another CA outside of it', () => {
  refuses('grant', { asker: { grant: { ...grant, doors: ['rest'] } } }, /door external/);
  refuses('grant', { asker: { grant: { ...grant, profiles: ['server'] } } }, /not for profile/);
  refuses('grant', { asker: { grant: { ...grant, dnsNames: ['api.acme.test'] } } }, /www\.acme\.test/);
  refuses(
    'lifetime',
    { asker: { grant: { ...grant, maxLifetimeMs: 7 * DAY_MS } }, other: { lifetimeMs: 90 * DAY_MS } },
    /expected at most/,
  );
});

test('approvals are had where somebody can come back, and each other door says why not', () => {
  assert.ok(parseProfileSpec({ base: 'server', askers: { rest: {}, external: {} }, approvals: {} }).approvals);
  for (const [base, door, why] of [
    ['server', 'acme', /an ACME client gives up/],
    ['server', 'renewal', /an outage/],
    ['workload', 'join', /no proxy yet/],
  ] as const)
    assert.throws(() => parseProfileSpec({ base, askers: { rest: {}, [door]: {} }, approvals: {} }), why);
  assert.throws(
    () => parseProfileSpec({ base: 'workload', askers: { external: {} } }),
    /askers\.external/,
    'and no SPIFFE ID goes to another CA',
  );
});

function orderOf(door: 'external'): IssuanceOrder {
  const key = parseCertificateRequest(buildCertificateRequest({ dnsNames: ['www.acme.test'] }, makeKey()));
  const asker = { role: 'ci', scope: '*', spiffeId: null } as const;
  return { door, asker, environment: 'production', key, spiffeId: null, dnsNames: ['www.acme.test'], ipAddresses: [], authorityName: null };
}

function factsOf(): IssuanceFacts {
  const trustDomain = parseTrustDomain('acme.test');
  return { trustDomain, issuer: null, issuerEnvironment: '*', crlUri: null, identitySuspended: false, keyBlocked: false };
}
