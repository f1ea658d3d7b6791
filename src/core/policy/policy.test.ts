import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { RetryBudgetSchema } from '../messages/generated/countersign/v1/settings_pb.ts';
import { compileCadence, compileHttp, compileReplicas, compileTlsPolicy } from './compile-policy.ts';
import { diffPolicy } from './diff-policy.ts';
import { explainPolicy } from './explain-policy.ts';
import { defaultPolicy, parsePolicy } from './policy.ts';
import { policyDigest } from './policy-digest.ts';

test('parsePolicy() of nothing is the default', () => {
  assert.deepEqual(parsePolicy({}), defaultPolicy);
  assert.deepEqual(parsePolicy(undefined), defaultPolicy);
});

test('parsePolicy() refuses what is unknown, weak or out of bounds, and names the field', () => {
  const refused: readonly (readonly [unknown, RegExp])[] = [
    [[], /spec holds/],
    ['strict', /spec holds/],
    [{ tls: null, extra: 1 }, /"extra", expected only/],
    [{ tls: { minimumVersion: '1.1' } }, /tls\.minimumVersion holds "1\.1"/],
    [{ tls: { minimumVersion: 1.2 } }, /tls\.minimumVersion/],
    [{ tls: { minimumVersion: '1.3', maximumVersion: '1.2' } }, /at most 1\.2/],
    [{ tls: { groups: [] } }, /tls\.groups/],
    [{ tls: { groups: ['X25519', 'X25519'] } }, /each once/],
    [{ tls: { groups: ['P-521'] } }, /tls\.groups\[0\]/],
    [{ tls: { groups: 'X25519' } }, /tls\.groups/],
    [{ tls: { suites: ['AES128-SHA'] } }, /tls\.suites\[0\] holds "AES128-SHA"/],
    [{ tls: { suites: ['ECDHE-RSA-AES128-SHA256'] } }, /tls\.suites/],
    [{ tls: { ciphers: [] } }, /"ciphers"/],
    [{ certificates: { renewAtPermille: { critical: 99 } } }, /renewAtPermille\.critical holds 99/],
    [{ certificates: { renewAtPermille: { critical: 901 } } }, /100 to 900/],
    [{ certificates: { renewAtPermille: { urgent: 500 } } }, /"urgent"/],
    [{ certificates: { renewalSmearMs: -1 } }, /renewalSmearMs/],
    [{ http: { hsts: { maxAgeSeconds: -1 } } }, /maxAgeSeconds/],
    [{ http: { hsts: { preload: true } } }, /http\.hsts\.preload/],
    [{ http: { hsts: { preload: true, includeSubDomains: true, maxAgeSeconds: 300 } } }, /http\.hsts\.preload/],
    [{ http: { hsts: { includeSubDomains: 'yes' } } }, /includeSubDomains/],
    [{ http: { hsts: null } }, /http\.hsts/],
    [{ http: { answerFields: ['server'] } }, /http\.answerFields/],
    [{ http: { answerFields: ['x-frame-options', 'x-frame-options'] } }, /each once/],
    [{ http: { identityFields: ['x-real-ip'] } }, /http\.identityFields/],
    [{ http: { hostMatchesSni: 1 } }, /hostMatchesSni/],
    [{ http: { boundTokens: { issuer: 'i', audiences: ['a'], keys: [] } } }, /keys/],
    [{ http: { boundTokens: { issuer: 'i', audiences: [], keys: [{ kty: 'oct' }] } } }, /audiences/],
    [{ http: { boundTokens: { issuer: '', audiences: ['a'], keys: [{ kty: 'oct' }] } } }, /issuer/],
    [{ http: { boundTokens: { issuer: 'i', audiences: ['a'], keys: [{ kty: 'oct' }] } } }, /token key/],
    [{ http: { boundTokens: { issuer: 'i', audiences: ['a'] } } }, /keys/],
    [{ http: { boundTokens: { issuer: 'i', audiences: ['a'], jwksUri: 'http://login.example/keys' } } }, /https URL/],
    [{ http: { boundTokens: { issuer: 'i', audiences: ['a'], jwksUri: 'https://a:b@login.example/keys' } } }, /https URL/],
    [
      { http: { boundTokens: { issuer: 'i', audiences: ['a'], jwksUri: 'https://login.example/keys', keys: [{ kty: 'oct' }] } } },
      /none beside/,
    ],
    [{ http: { boundTokens: { issuer: 'i', audiences: ['a'], jwksUri: 'https://login.example/keys', anchorsPem: 'x' } } }, /anchorsPem/],
    [{ http: { boundTokens: { issuer: 'i', audiences: ['a'], keys: [{ kty: 'oct' }], anchorsPem: 'x' } } }, /anchorsPem/],
    [{ http: { boundTokens: null } }, /boundTokens/],
    [{ http: { rates: { caller: {} } } }, /perSecond/],
    [{ http: { rates: { caller: { perSecond: 0 } } } }, /perSecond/],
    [{ http: { rates: { endpoint: { perSecond: 10, burst: 0 } } } }, /burst/],
    [{ http: { rates: { stranger: { perSecond: 10 } } } }, /"stranger"/],
    [{ http: { maximumBodyOctets: 0 } }, /maximumBodyOctets/],
    [{ http: { maximumBodyOctets: '10MB' } }, /maximumBodyOctets/],
    [{ http: { maximumBodyOctets: null } }, /maximumBodyOctets/],
    [{ limits: { connections: 0 } }, /limits\.connections/],
    [{ limits: { connections: 20_001 } }, /1 to 20000/],
    [{ limits: { handshakesPerAddress: 1.5 } }, /limits\.handshakesPerAddress/],
    [{ limits: { perAddress: 1 } }, /"perAddress"/],
    [{ limits: [] }, /limits holds/],
    [{ replicas: { retries: null } }, /replicas\.retries/],
    [{ replicas: { retries: 'always' } }, /replicas\.retries/],
    [{ replicas: { retries: { percent: 101 } } }, /0 to 100/],
    [{ replicas: { retries: { tries: 3 } } }, /"tries"/],
    [{ replicas: { ejection: true } }, /replicas\.ejection/],
    [{ replicas: { ejection: { failures: 0 } } }, /ejection\.failures/],
    [{ replicas: { ejection: { baseMs: 99 } } }, /ejection\.baseMs/],
    [{ replicas: { healthCheck: { path: 'healthz' } } }, /begins with \//],
    [{ replicas: { healthCheck: { path: '/a b' } } }, /healthCheck\.path/],
    [{ replicas: { healthCheck: { path: '/a\r\nHost: b' } } }, /healthCheck\.path/],
    [{ replicas: { healthCheck: { grpcService: 'a/b' } } }, /grpcService/],
    [{ replicas: { healthCheck: { intervalMs: 249 } } }, /intervalMs/],
    [{ replicas: { healthCheck: { intervalMs: 1_000, timeoutMs: 1_001 } } }, /at most the interval/],
    [{ replicas: { healthCheck: { everyMs: 1_000 } } }, /"everyMs"/],
    [{ replicas: { loadBalancing: 'random' } }, /"loadBalancing"/],
    [{ http: { cors: true } }, /"cors"/],
    [{ drainMs: 1.5 }, /drainMs/],
    [{ drainMs: '5' }, /drainMs/],
    [{ telemetryIntervalMs: 249 }, /250 to 1000/],
    [{ telemetryIntervalMs: 1_001 }, /250 to 1000/],
    [{ drainMs: Number.NaN }, /drainMs/],
  ];
  for (const [input, message] of refused) {
    assert.throws(() => parsePolicy(input), { code: 'input-invalid', message }, JSON.stringify(input));
  }
});

test('a message of parsePolicy() does not repeat a value without bound', () => {
  assert.throws(
    () => parsePolicy({ drainMs: 'x'.repeat(100_000) }),
    ({ message }: Error) => message.length < 300,
  );
});

test('a policy says what HTTP looks like, and compiles to fields with their values', () => {
  const policy = parsePolicy({
    http: {
      hsts: { includeSubDomains: true, preload: true },
      answerFields: ['x-frame-options', 'x-content-type-options'],
      identityFields: ['client-cert'],
    },
  });
  const { answerFields, hostMatchesSni, omittedIdentityFields } = compileHttp(policy.http, new Map());
  assert.deepEqual(
    answerFields.map(({ name, value }) => `${name}: ${value}`),
    ['strict-transport-security: max-age=31536000; includeSubDomains; preload', 'x-content-type-options: nosniff', 'x-frame-options: DENY'],
  );
  assert.deepEqual([hostMatchesSni, omittedIdentityFields], [false, ['client-cert-chain', 'x-forwarded-client-cert']]);
  assert.deepEqual(compileHttp(defaultPolicy.http, new Map()), {
    answerFields: [],
    hostMatchesSni: false,
    maximumBodyOctets: 0n,
    omittedIdentityFields: [],
  });
  assert.match(explainPolicy(policy).join('\n'), /strict-transport-security: max-age=31536000/);
});

test('what callers make of replicas compiles to their settings, and what is left out is absent', () => {
  assert.deepEqual(compileReplicas(defaultPolicy.replicas), {
    retries: create(RetryBudgetSchema, { percent: 20, minimumPerSecond: 3 }),
  });
  const none = parsePolicy({ replicas: { retries: 'none' } }).replicas;
  assert.deepEqual(compileReplicas(none), {});
  const all = compileReplicas(parsePolicy({ replicas: { ejection: {}, healthCheck: { grpcService: '', intervalMs: 1_000 } } }).replicas);
  assert.deepEqual([all.ejection!.failures, all.ejection!.baseMs, all.ejection!.maximumPercent], [5, 30_000, 50]);
  const { path, grpcService, intervalMs, timeoutMs } = all.healthCheck!;
  assert.deepEqual([path, grpcService, intervalMs, timeoutMs], ['', '', 1_000, 1_000]);
  assert.equal(
    compileReplicas(parsePolicy({ replicas: { healthCheck: { path: '/healthz' } } }).replicas).healthCheck!.grpcService,
    undefined,
  );
  assert.match(
    explainPolicy(parsePolicy({ replicas: { ejection: {}, healthCheck: {} } })).join('\n'),
    /fails 5 times[^]*asks each replica every 5000 ms/,
  );
});

test('policyDigest() depends on content alone', () => {
  const a = parsePolicy({ drainMs: 1_000, tls: { minimumVersion: '1.3' } });
  const b = parsePolicy({ tls: { minimumVersion: '1.3' }, drainMs: 1_000 });
  assert.equal(policyDigest(a), policyDigest(b));
  assert.notEqual(policyDigest(a), policyDigest(defaultPolicy));
  assert.match(policyDigest(a), /^[0-9a-f]{64}$/);
});

const effects = (changes: ReturnType<typeof diffPolicy>) => Object.fromEntries(changes.map(({ field, effect }) => [field, effect]));

test('diffPolicy() says what loosens', () => {
  assert.deepEqual(diffPolicy(defaultPolicy, defaultPolicy), []);
  const strict = parsePolicy({ tls: { minimumVersion: '1.3', groups: ['X25519MLKEM768'] }, drainMs: 1_000 });
  assert.deepEqual(effects(diffPolicy(defaultPolicy, strict)), {
    'tls.minimumVersion': 'tightens',
    'tls.groups': 'tightens',
    drainMs: 'neutral',
  });
  assert.deepEqual(effects(diffPolicy(strict, defaultPolicy)), {
    'tls.minimumVersion': 'loosens',
    'tls.groups': 'loosens',
    drainMs: 'neutral',
  });
});

test('a new suite loosens, whatever else went', () => {
  const one = parsePolicy({ tls: { suites: ['ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES256-GCM-SHA384'] } });
  const other = parsePolicy({ tls: { suites: ['ECDHE-ECDSA-AES128-GCM-SHA256'] } });
  assert.deepEqual(
    diffPolicy(one, other).map(({ effect }) => effect),
    ['loosens'],
  );
});

test('explainPolicy() says when recorded traffic is not safe from later computers', () => {
  assert.match(explainPolicy(defaultPolicy).join('\n'), /X25519MLKEM768 protects/);
  assert.match(explainPolicy(parsePolicy({ tls: { groups: ['X25519'] } })).join('\n'), /can be read by a later quantum computer/);
});

test('compileTlsPolicy() carries versions, groups, suites and the digest', () => {
  const { minimumVersion, maximumVersion, groups, suites, policyDigest: digest } = compileTlsPolicy(defaultPolicy);
  assert.deepEqual([minimumVersion, maximumVersion], [0x0303, 0x0304]);
  assert.deepEqual(groups, ['X25519MLKEM768', 'X25519', 'P-256']);
  assert.ok(suites.every((suite) => /^ECDHE-(ECDSA|RSA)-(AES\d+-GCM-SHA\d+|CHACHA20-POLY1305)$/.test(suite)));
  assert.equal(digest, policyDigest(defaultPolicy));
});

test('certificates of critical endpoints are renewed earlier', () => {
  const critical = compileCadence(defaultPolicy, 'critical', 3);
  assert.ok(critical.renewAtPermille < compileCadence(defaultPolicy, 'standard', 3).renewAtPermille);
  assert.equal(critical.renewalEpoch, 3n);
});
