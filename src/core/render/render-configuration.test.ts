import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultPolicy, type Policy } from '../policy/policy.ts';
import { Problem } from '../problems/problem.ts';
import { parseRenderOrder, type RenderSubject, type RenderWords } from './parse-render-order.ts';
import { parseProxyProgram, proxyKinds, type ProxyKind } from './proxy-program.ts';
import { renderConfiguration } from './render-configuration.ts';
import type { RenderOrder } from './render-order.ts';
import { readStoredPolicy } from './stored-policy.ts';

const words: RenderWords = {
  names: 'api.acme.example',
  listen: '127.0.0.1:8443',
  certificate: '/etc/tls/api.pem',
  key: '/etc/tls/api.pem.key',
  clientTrust: '/etc/tls/clients.pem',
  crl: '/etc/tls/lists.pem',
  crlOf: 'path',
  upstream: 'https://127.0.0.1:8080',
  upstreamName: 'service.acme.example',
  upstreamTrust: '/etc/tls/upstream.pem',
  upstreamCertificate: '/etc/tls/own.pem',
  upstreamKey: '/etc/tls/own.pem.key',
  plainListen: '127.0.0.1:8080',
  staple: '/etc/tls/api.pem.ocsp',
  script: '/etc/tls/caller',
};
const NOBODY = { version: undefined, openssl: undefined, njs: undefined };

function orderOf(kind: ProxyKind, change: RenderWords = {}, subject: Partial<RenderSubject> = {}): RenderOrder {
  const program = parseProxyProgram(kind, { ...NOBODY, njs: kind === 'nginx' ? 'module' : undefined });
  const forNode = {
    upstream: undefined,
    upstreamName: undefined,
    upstreamTrust: undefined,
    upstreamCertificate: undefined,
    upstreamKey: undefined,
  };
  return parseRenderOrder(
    {
      program,
      title: 'policy p',
      policy: defaultPolicy,
      mode: 'enforce',
      callers: ['spiffe://acme.example/a/b'],
      narrowedRoutes: 0,
      ...subject,
    },
    { ...words, ...(kind === 'node' ? forNode : {}), ...change },
  );
}

function isRefused(act: () => unknown, expected: RegExp): void {
  assert.throws(act, (error) => error instanceof Problem && expected.test(error.message) && error.status < 500);
}

/** What this proxy would leave open. */
function access(kind: ProxyKind, subject: Partial<RenderSubject> = {}, hasNjs = true): readonly string[] {
  const { gaps } = renderConfiguration(
    orderOf(
      kind,
      {},
      { program: parseProxyProgram(kind, { ...NOBODY, njs: hasNjs && kind === 'nginx' ? 'module' : undefined }), ...subject },
    ),
  );
  return gaps.filter(({ weight }) => weight === 'access').map(({ demand }) => demand);
}

/** What means something in one of the languages, or reads like something else. */
const HOSTILE = [
  'a b',
  'a"',
  "a'",
  'a`',
  'a;b',
  'a}',
  'a{b',
  'a#b',
  'a$b',
  'a${b}',
  'a\\b',
  'a\nb',
  'a\rb',
  'a\tb',
  'a\0b',
  'a%b',
  'a*b',
  'a,b',
  'a|b',
  'a<b>',
  'a:b',
  '\u0430',
  'a\u202eb',
  'a\u2028b',
  'a\uff1bb',
  'a\u00a0b',
];

describe('a value that stands in a foreign language', () => {
  const paths = [
    'certificate',
    'key',
    'clientTrust',
    'crl',
    'staple',
    'script',
    'upstreamTrust',
    'upstreamCertificate',
    'upstreamKey',
  ] as const;
  for (const hostile of HOSTILE) {
    test(`is refused with ${JSON.stringify(hostile)} in it`, () => {
      for (const name of paths) isRefused(() => orderOf('haproxy', { [name]: `/etc/${hostile}` }), /an absolute path/);
      isRefused(() => orderOf('nginx', { log: `/var/${hostile}` }), /an absolute path/);
      for (const name of ['names', 'upstreamName'] as const) {
        const text = `${hostile}.acme.example`;
        // A comma parts names.
        if (name === 'names' && hostile === 'a,b') continue;
        isRefused(() => orderOf('caddy', { [name]: text }), /DNS name/);
      }
      for (const name of ['listen', 'plainListen'] as const)
        isRefused(() => orderOf('envoy', { [name]: `127.0.0.1:80${hostile}` }), /IP:PORT/);
      isRefused(() => orderOf('envoy', { upstream: `https://127.0.0.1:80${hostile}` }), /IP:PORT/);
      isRefused(() => orderOf('nginx', {}, { callers: [`spiffe://acme.example/${hostile}`] }), /SPIFFE ID/);
      isRefused(() => parseProxyProgram('nginx', { ...NOBODY, version: `1.22${hostile}` }), /numbers with dots/);
    });
  }

  test('is a path without parts that lead elsewhere', () => {
    for (const path of ['etc/a', '/etc/../a', '/etc/./a', '/etc//a', '/', '', '/etc/a/', '/etc/.a', `/${'a'.repeat(4_095)}`]) {
      isRefused(() => orderOf('node', { certificate: path }), /an absolute path/);
    }
  });

  test('is no wildcard, no address without its port, and no port out of range', () => {
    isRefused(() => orderOf('nginx', { names: '*.acme.example' }), /DNS name/);
    isRefused(() => orderOf('nginx', { names: 'a.example,a.example' }), /each once/);
    for (const listen of [
      '127.0.0.1',
      '127.0.0.1:0',
      '127.0.0.1:65536',
      '0127.0.0.1:80',
      'localhost:80',
      '[::1%lo]:80',
      '::1:80',
      '999.0.0.1:80',
    ]) {
      isRefused(() => orderOf('nginx', { listen }), /--listen/);
    }
    assert.deepEqual(orderOf('nginx', { listen: '[::1]:443' }).listen, { host: '::1', port: 443 });
  });

  test('of a stored policy is read again by the reader of declarations', () => {
    const odd = [
      { ...defaultPolicy, tls: { ...defaultPolicy.tls, suites: ['NULL; }'] } },
      { ...defaultPolicy, tls: { ...defaultPolicy.tls, groups: ['X25519\nP-256'] } },
      { ...defaultPolicy, tls: { ...defaultPolicy.tls, minimumVersion: '1.0' } },
      { ...defaultPolicy, limits: { ...defaultPolicy.limits, connections: '1; }' } },
      { ...defaultPolicy, http: { ...defaultPolicy.http, hsts: { maxAgeSeconds: '0"; }', includeSubDomains: false, preload: false } } },
      { ...defaultPolicy, http: { ...defaultPolicy.http, answerFields: ['x-evil'] } },
      { ...defaultPolicy, http: { ...defaultPolicy.http, maximumBodyOctets: '1;' } },
    ];
    for (const policy of odd) isRefused(() => readStoredPolicy(policy as unknown as Policy), /Cannot read policy/);
    const full: Policy = {
      ...defaultPolicy,
      http: {
        ...defaultPolicy.http,
        hostMatchesSni: true,
        hsts: { maxAgeSeconds: 31_536_000, includeSubDomains: true, preload: true },
        answerFields: ['x-frame-options'],
        identityFields: ['client-cert'],
        maximumBodyOctets: 1,
        rates: { caller: { perSecond: 1, burst: 2 }, endpoint: { perSecond: 3, burst: 4 } },
      },
    };
    const { tls, http, limits } = full;
    assert.deepEqual(readStoredPolicy(full), { tls, http, limits });
  });
});

describe('what cannot be enforced', () => {
  const hybrid: Policy = { ...defaultPolicy, tls: { ...defaultPolicy.tls, groups: ['X25519MLKEM768', 'SecP256r1MLKEM768'] } };

  test('is refused by name where a policy of hybrid groups alone meets an OpenSSL without them', () => {
    for (const kind of ['nginx', 'haproxy'] as const) {
      isRefused(
        () => renderConfiguration(orderOf(kind, {}, { policy: hybrid })),
        /groups: "X25519MLKEM768, SecP256r1MLKEM768", expected of X25519, P-256, P-384, which is all that \w+ [0-9.]+ on OpenSSL 3\.0 speaks/,
      );
      const program = parseProxyProgram(kind, { ...NOBODY, openssl: '3.5.1', njs: kind === 'nginx' ? 'built-in' : undefined });
      const { gaps, files } = renderConfiguration(orderOf(kind, {}, { policy: hybrid, program }));
      assert.equal(
        gaps.some(({ demand }) => demand === 'groups'),
        false,
      );
      assert.match(files[0]!.text, /X25519MLKEM768:SecP256r1MLKEM768[; ]/);
    }
    isRefused(
      () =>
        renderConfiguration(orderOf('envoy', {}, { policy: hybrid, program: parseProxyProgram('envoy', { ...NOBODY, version: '1.39' }) })),
      /envoy 1\.39 speaks/,
    );
  });

  test('is told in the file, at its top, and never twice', () => {
    for (const kind of proxyKinds) {
      const order = orderOf(kind, kind === 'caddy' ? { staple: undefined } : {}, { policy: hybridAndClassic });
      const { gaps, files } = renderConfiguration(order);
      const [heading = ''] = files[0]!.text.split(/^(?![#/])/m);
      for (const { demand, why } of gaps) assert.ok(heading.includes(`${demand}: ${why}`), `${kind} ${demand}`);
      assert.equal(new Set(gaps.map(({ demand }) => demand)).size, gaps.length);
    }
  });
  const hybridAndClassic: Policy = { ...hybrid, tls: { ...hybrid.tls, groups: ['X25519MLKEM768', 'SecP256r1MLKEM768', 'P-256'] } };

  test('weighs as access where somebody would get in who should not', () => {
    assert.deepEqual(
      proxyKinds.map((kind) => access(kind)),
      [[], [], ['revocation'], [], []],
    );
    assert.deepEqual(access('nginx', {}, false), ['callers']);
    for (const kind of proxyKinds) {
      const order = orderOf(kind, { crl: undefined, crlOf: undefined });
      assert.ok(
        renderConfiguration(order).gaps.some(({ demand, weight }) => demand === 'revocation' && weight === 'access'),
        kind,
      );
    }
    const leaf = renderConfiguration(orderOf('nginx', { crlOf: 'leaf' }));
    assert.match(leaf.gaps.find(({ demand }) => demand === 'revocation')!.why, /--crl-of path/);
    assert.doesNotMatch(leaf.files[0]!.text, /ssl_crl/);
    // Whoever is certified may call: nobody has to be told apart.
    assert.deepEqual(access('nginx', { callers: null }, false), []);
    for (const kind of proxyKinds) assert.ok(access(kind, { narrowedRoutes: 1 }).includes('routes'), kind);
    const boundTokens = { issuer: 'https://i', audiences: ['a'], keys: [], published: null };
    for (const kind of proxyKinds) {
      const policy = { ...defaultPolicy, http: { ...defaultPolicy.http, boundTokens } };
      assert.ok(access(kind, { policy }).includes('bound-tokens'), kind);
    }
  });

  test('by njs is read by a module that is loaded, or by what nginx was built with', () => {
    for (const [kind, njs] of [
      ['nginx', 'true'],
      ['nginx', ''],
      ['caddy', 'module'],
    ] as const) {
      isRefused(() => parseProxyProgram(kind, { ...NOBODY, njs }), /module or built-in, of nginx/);
    }
    const [loaded, builtIn] = ['module', 'built-in'].map((njs) => {
      const program = parseProxyProgram('nginx', { ...NOBODY, njs });
      return renderConfiguration(orderOf('nginx', {}, { program })).files[0]!.text;
    });
    assert.equal(loaded!.replace('load_module modules/ngx_http_js_module.so;\n', ''), builtIn);
    assert.match(builtIn!, /js_import caller from/);
  });

  test('is refused for versions that are too old, and for an OpenSSL that a program does not use', () => {
    const old = { nginx: '1.18', haproxy: '2.4', caddy: '2.7.6', envoy: '1.20', node: '20.1.0' };
    for (const kind of proxyKinds) isRefused(() => parseProxyProgram(kind, { ...NOBODY, version: old[kind] }), /or later/);
    for (const kind of ['caddy', 'envoy', 'node'] as const)
      isRefused(() => parseProxyProgram(kind, { ...NOBODY, openssl: '3.0' }), /brings its own TLS/);
  });
});

describe('an order', () => {
  test('needs what its kind needs, and takes nothing that would be without effect', () => {
    isRefused(() => orderOf('nginx', { clientTrust: undefined }), /--client-trust/);
    isRefused(() => orderOf('nginx', { clientTrust: undefined }, { callers: null }), /--client-trust/);
    isRefused(() => orderOf('nginx', {}, { callers: 'anonymous' }), /--client-trust: .* none with --clients anonymous/);
    isRefused(() => orderOf('nginx', { crlOf: 'root' }), /leaf or path/);
    isRefused(() => orderOf('nginx', { crl: undefined }), /--crl beside it/);
    isRefused(() => orderOf('nginx', { upstream: undefined }), /--upstream/);
    isRefused(() => orderOf('nginx', { upstream: 'http://127.0.0.1:1' }), /https/);
    isRefused(() => orderOf('nginx', { upstreamName: undefined }), /--upstream-name and --upstream-trust/);
    isRefused(() => orderOf('nginx', { upstreamTrust: undefined }), /--upstream-name and --upstream-trust/);
    isRefused(() => orderOf('nginx', { upstreamKey: undefined }), /--upstream-key/);
    isRefused(() => orderOf('nginx', { script: undefined }), /--script/);
    isRefused(() => orderOf('haproxy', { script: undefined }), /--script/);
    isRefused(() => orderOf('haproxy', { log: '/var/log/a' }), /--log/);
    isRefused(() => orderOf('node', { upstream: 'http://127.0.0.1:1' }), /none for node/);
    isRefused(() => renderConfiguration(orderOf('haproxy', { key: '/etc/other.key' })), /where it looks for it/);
    isRefused(() => renderConfiguration(orderOf('haproxy', { staple: '/etc/other.ocsp' })), /api\.pem\.ocsp/);
  });

  test('of no callers lets nobody in, whatever the proxy', () => {
    for (const kind of proxyKinds) {
      const { text } = renderConfiguration(orderOf(kind, kind === 'caddy' ? { staple: undefined } : {}, { callers: [] })).files[0]!;
      assert.match(
        text,
        {
          nginx: /denied \{\s+default 1;\s+\}/,
          haproxy: /deny deny_status 403$/m,
          caddy: /not vars \S+ nobody$/m,
          envoy: /policies: \{\}/,
          node: /"callers": \[\]/,
        }[kind],
      );
    }
  });

  test('in enforce never serves in the clear', () => {
    for (const kind of proxyKinds) assert.equal(orderOf(kind).plain.kind, 'redirect');
    for (const kind of proxyKinds) assert.equal(orderOf(kind, {}, { mode: 'permissive' }).plain.kind, 'serve');
  });
});
