import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Problem } from '../../core/problems/problem.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { parseDeclaration } from './parse-declaration.ts';

const head = 'apiVersion: countersign/v1\n';
const service = `${head}kind: Service\nname: orders\nowner: commerce\n`;
const endpoint = `${head}kind: Endpoint\nname: orders-api\nservice: orders\nprotocol: http\naddresses: ["127.0.0.1:8111"]\nowner: commerce\n`;
const proxy = `${head}kind: Proxy\nname: orders-1\nservice: orders\nrole: sidecar\n`;
const exception = `${head}kind: Exception\nname: gap\nexception: plaintext-path\nendpoint: orders-api\nowner: ada\nreason: vendor\nuntil: 2027-01-31\n`;
const target = `${head}kind: Target\nname: all\nendpoints: all\n`;

const refuses = (text: string, message: RegExp): void => {
  assert.throws(
    () => parseDeclaration(text),
    (error) => {
      assert.ok(error instanceof Problem && error.code === 'input-invalid', `${text.slice(0, 300)}\n${String(error)}`);
      assert.match(error.message, message);
      assert.ok(error.message.length < 600, error.message);
      return true;
    },
  );
};

test('several documents become several declarations, empty ones none', () => {
  const declarations = parseDeclaration(`---\n${service}---\n---\n${endpoint}---\n${target}`);
  assert.deepEqual(
    declarations.map(({ kind, name }) => [kind, name]),
    [
      ['Service', 'orders'],
      ['Endpoint', 'orders-api'],
      ['Target', 'all'],
    ],
  );
  assert.deepEqual(parseDeclaration(''), []);
});

test('fields that are left out have their defaults', () => {
  const [declared] = parseDeclaration(endpoint);
  assert.ok(declared?.kind === 'Endpoint');
  const { exposure, tier, dataClasses, policy, allowedCallers, external, environment, region } = declared;
  assert.deepEqual(
    { exposure, tier, dataClasses, policy, allowedCallers, external, environment, region },
    {
      exposure: 'internal',
      tier: 'standard',
      dataClasses: [],
      policy: 'default',
      allowedCallers: [],
      external: null,
      environment: null,
      region: null,
    },
  );
});

test('a day lasts until its end in UTC', () => {
  const [declared] = parseDeclaration(exception);
  assert.ok(declared?.kind === 'Exception');
  assert.equal(new Date(declared.until).toISOString(), '2027-01-31T23:59:59.999Z');
});

test('an address has one spelling', () => {
  const [declared] = parseDeclaration(`${proxy}outbound:\n  - endpoint: orders-api\n    listen: "[::1]:9000"\n`);
  assert.ok(declared?.kind === 'Proxy');
  assert.deepEqual(declared.outbound, [{ endpoint: 'orders-api', listen: '[::1]:9000' }]);
});

test('absent needs no more than kind and name, and takes no more', () => {
  const [declared] = parseDeclaration(`${head}kind: Service\nname: orders\nstate: absent\n`);
  assert.deepEqual(declared, { kind: 'absent', of: 'Service', name: 'orders', environment: null, region: null, line: 1 });
  refuses(`${service}state: absent\n`, /owner holds an unknown key/);
  refuses(`${service}state: gone\n`, /present, absent/);
});

test('a fault is told with its line and field', () => {
  refuses(`${service}---\n${head}kind: Service\nname: Web\nowner: web\n`, /line 8, name holds "Web"/);
  refuses(
    `${proxy}inbound:\n  - endpoint: orders-api\n    listen: 127.0.0.1:1\n    upstream: nowhere\n`,
    /inbound\[0\]\.upstream holds "nowhere"/,
  );
  refuses(`${service}colour: blue\n`, /line 5, colour holds an unknown key/);
  refuses(`${target}soakMs: soon\n`, /soakMs/);
});

test('every document says what it is', () => {
  refuses('kind: Service\nname: a\nowner: b\n', /apiVersion holds nothing/);
  refuses('apiVersion: countersign/v2\nkind: Service\nname: a\nowner: b\n', /countersign\/v1/);
  refuses(`${head}kind: Gateway\nname: a\n`, /Service, Endpoint, Proxy/);
  refuses(`${head}name: a\n`, /kind holds nothing/);
  refuses('- a\n', /a list/);
  refuses('text\n', /"text"/);
});

test('names that would break identities or paths are refused', () => {
  for (const name of ['Orders', '-orders', 'or ders', 'countersign', '.', '..', 'a/b', 'ä', '1'.repeat(64), '[]', '3', 'null', '""']) {
    refuses(service.replace('name: orders', `name: ${name}`), /name holds/);
  }
});

test('owners and reasons are one line without controls', () => {
  for (const owner of ['""', '"a\\nb"', '"\\u001b[31m"', '"\\u202e"', `"${'x'.repeat(101)}"`, '"\\ud800"', '[]', '1']) {
    refuses(service.replace('owner: commerce', `owner: ${owner}`), /owner holds/);
  }
});

test('addresses are IP and port, and at least one', () => {
  for (const addresses of [
    '[]',
    '["localhost:80"]',
    '["127.0.0.1"]',
    '["127.0.0.1:0"]',
    '["127.0.0.1:65536"]',
    '["127.0.0.1:1", "127.0.0.1:1"]',
    '[[]]',
    '8111',
  ]) {
    refuses(endpoint.replace('["127.0.0.1:8111"]', addresses), /addresses/);
  }
});

const routes = (text: string): string => `${endpoint}routes: [${text}]\n`;

test('a route has a path, its callers and nothing unknown, and its endpoint is one whose calls a proxy of ours reads', () => {
  const [declared] = parseDeclaration(
    routes('{ path: "/%61/", callers: [web, "dns:A.example", "uri:urn:x:y"], methods: [GET], host: API.example }'),
  );
  assert.ok(declared?.kind === 'Endpoint');
  assert.deepEqual(declared.routes, [
    { methods: ['GET'], host: 'api.example', path: '/a', callers: ['web', 'dns:a.example', 'uri:urn:x:y'] },
  ]);
  assert.deepEqual(parseDeclaration(routes('{ path: "/a", callers: [] }')).length, 1);
  for (const [text, expected] of [
    ['{ path: "/a" }', /callers holds nothing/],
    ['{ callers: [web] }', /path holds nothing/],
    ['{ path: "/a/../b", callers: [web] }', /path/],
    ['{ path: "/a*", callers: [web] }', /path/],
    ['{ path: "/a?b", callers: [web] }', /path/],
    ['{ path: "/a", methods: [get], callers: [web] }', /methods\[0\]/],
    ['{ path: "/a", methods: [GET, GET], callers: [web] }', /each item once/],
    ['{ path: "/a", host: "a.example:80", callers: [web] }', /host/],
    ['{ path: "/a", callers: ["dns:*.example"] }', /callers\[0\]/],
    ['{ path: "/a", callers: ["uri:x"] }', /callers\[0\]/],
    ['{ path: "/a", callers: ["cn:web"] }', /callers\[0\]/],
    ['{ path: "/a", callers: [web], allow: true }', /unknown key/],
  ] as const) {
    refuses(routes(text), expected);
  }
  refuses(routes('{ path: "/a", callers: [web] }').replace('protocol: http', 'protocol: tcp'), /routes/);
});

test('an endpoint takes known words only', () => {
  refuses(`${endpoint}exposure: world\n`, /exposure holds "world"/);
  refuses(`${endpoint}tier: gold\n`, /tier/);
  refuses(`${endpoint}dataClasses: [pii, secrets]\n`, /dataClasses/);
  refuses(`${endpoint}allowedCallers: ["*"]\n`, /allowedCallers\[0\]/);
  refuses(`${endpoint}allowedCallers: ["spiffe://acme.example/../x"]\n`, /allowedCallers\[0\]/);
  refuses(endpoint.replace('protocol: http', 'protocol: gopher'), /protocol/);
});

test('an external endpoint needs a name and anchors that are certificates', () => {
  refuses(`${endpoint}external: {}\n`, /external\.serverName holds nothing/);
  refuses(`${endpoint}external: { serverName: "*.example.com", anchorsPem: x }\n`, /serverName/);
  refuses(`${endpoint}external: { serverName: pay.example.com, anchorsPem: "no PEM" }\n`, /anchorsPem/);
  const fake = '-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----';
  refuses(`${endpoint}external: { serverName: pay.example.com, anchorsPem: "${fake}" }\n`, /anchorsPem/);
  refuses(`${endpoint}external: { serverName: pay.example.com, anchorsPem: "${fake}", pin: x }\n`, /anchorsPem|pin/);
});

test('what a service dials through stays on its machine', () => {
  for (const listen of [
    '10.0.0.1:9000',
    '0.0.0.0:9000',
    '[::]:9000',
    'unix:relative',
    'unix:/a/../b',
    'unix:/',
    `unix:/${'x'.repeat(107)}`,
  ]) {
    refuses(`${proxy}outbound:\n  - endpoint: orders-api\n    listen: "${listen}"\n`, /outbound\[0\]\.listen/);
  }
});

test('a proxy listens nowhere twice and does not feed itself', () => {
  const twice = `outbound:\n  - { endpoint: a, listen: "127.0.0.1:1" }\n  - { endpoint: b, listen: "127.0.0.1:1" }\n`;
  refuses(`${proxy}${twice}`, /each listen address once/);
  refuses(`${proxy}inbound:\n  - { endpoint: a, listen: "127.0.0.1:1", upstream: "127.0.0.1:1" }\n`, /another address/);
});

const pin = (letter: string): string => `"sha256/${letter.repeat(42)}A="`;

test('what is demanded of a third party is said whole, or not at all', () => {
  const anchor = encodePem('CERTIFICATE', makeTestAuthority(Date.UTC(2026, 10, 24)).root.der)
    .trim()
    .replaceAll('\n', '\\n');
  const external = (more: string): string => `${endpoint}external: { serverName: pay.example.com, anchorsPem: "${anchor}"${more} }\n`;
  const [declared] = parseDeclaration(
    external(`, pins: [${pin('b')}, ${pin('a')}], pinning: enforce, pinsForcedUntil: 2027-01-31, oldTls: "1.0"`),
  );
  assert.ok(declared?.kind === 'Endpoint');
  assert.deepEqual(declared.external?.terms, {
    oldTls: '1.0',
    pins: [`sha256/${'a'.repeat(42)}A=`, `sha256/${'b'.repeat(42)}A=`],
    pinning: 'enforce',
    pinsForcedUntil: Date.UTC(2027, 0, 31, 23, 59, 59, 999),
    showsCertificate: false,
    showsHeldCertificate: false,
    revocation: 'off',
    revocationUnknown: 'accept',
    revocationFrom: [],
  });
  const [checked] = parseDeclaration(external(', revocation: enforce, revocationUnknown: refuse, revocationFrom: [203.0.113.0/24]'));
  assert.ok(checked?.kind === 'Endpoint');
  const { revocation, revocationUnknown, revocationFrom } = checked.external!.terms;
  assert.deepEqual([revocation, revocationUnknown, revocationFrom], ['enforce', 'refuse', ['203.0.113.0/24']]);
  // Whoever has it checked says what becomes of the unknown.
  refuses(external(', revocation: observe'), /revocationUnknown/);
  refuses(external(', revocation: strict, revocationUnknown: refuse'), /off, observe, enforce/);
  refuses(external(', revocation: observe, revocationUnknown: maybe'), /accept, refuse/);
  refuses(external(', revocation: observe, revocationUnknown: accept, revocationFrom: [everywhere]'), /revocationFrom/);
  for (const more of ['revocationUnknown: refuse', 'revocation: off, revocationUnknown: accept', 'revocationFrom: [10.0.0.0/8]'])
    refuses(external(`, ${more}`), /revocation observe or enforce too/);
  refuses(external(`, pins: [${pin('a')}]`), /pins holds 1 pins, expected 2 to 20/);
  refuses(external(`, pins: [${pin('a')}, ${pin('a')}]`), /each item once/);
  for (const bad of ['"sha1/x"', `"${'a'.repeat(43)}="`, '"sha256/"', `"sha256/${'a'.repeat(43)}="`, `"sha256/${'a'.repeat(42)}B="`, '7']) {
    refuses(external(`, pins: [${pin('a')}, ${bad}]`), /pins\[1\]/);
  }
  refuses(external(', pinning: enforce'), /pinning holds/);
  refuses(external(', pinsForcedUntil: 2027-01-31'), /pinsForcedUntil holds/);
  refuses(external(`, pins: [${pin('a')}, ${pin('b')}], pinning: strict`), /observe, enforce/);
  for (const version of ['"0.9"', '"1.3"', '1.0', 'true']) refuses(external(`, oldTls: ${version}`), /oldTls/);
  refuses(external(', showsCertificate: "yes"'), /true or false/);
  refuses(external(', showsHeldCertificate: "yes"'), /true or false/);
  refuses(external(', showsCertificate: true, showsHeldCertificate: true'), /second certificate/);
});

const passes = (more: string, listen = '127.0.0.1:1'): string =>
  `  - { endpoint: a, termination: passthrough, listen: "${listen}", upstream: "127.0.0.1:9", ${more} }\n`;

test('what passes TLS through shares an address by server names, and by nothing else', () => {
  const inbound = `${proxy}inbound:\n${passes('serverNames: [A.example, "*.b.example"]')}${passes('takesUnknown: true, idleMs: 1000')}`;
  const [declared] = parseDeclaration(inbound);
  assert.ok(declared?.kind === 'Proxy');
  assert.deepEqual(
    declared.inbound.map(({ termination }) => termination),
    [
      {
        kind: 'passthrough',
        serverNames: ['a.example', '*.b.example'],
        takesUnknown: false,
        idleMs: 3_600_000,
        maximumConnections: 10_000,
      },
      { kind: 'passthrough', serverNames: [], takesUnknown: true, idleMs: 1_000, maximumConnections: 10_000 },
    ],
  );
  refuses(`${inbound}${passes('serverNames: [a.example]')}`, /inbound holds a\.example, expected each server name once/);
  refuses(`${inbound}${passes('takesUnknown: true')}`, /one taker of unknown names/);
  refuses(`${inbound}  - { endpoint: b, listen: "127.0.0.1:1", upstream: "127.0.0.1:8" }\n`, /each listen address once/);
  refuses(`${inbound}outbound:\n  - { endpoint: b, listen: "127.0.0.1:1" }\n`, /each listen address once/);
});

test('the PROXY protocol is believed from ranges, and used in one way at one address', () => {
  const inbound = (more: string): string =>
    `${proxy}inbound:\n  - { endpoint: a, listen: "127.0.0.1:1", upstream: "127.0.0.1:9", ${more} }\n`;
  const [declared] = parseDeclaration(inbound('proxyProtocolFrom: ["10.0.0.0/8", "2001:DB8::/32"], sendProxyProtocol: v2'));
  assert.ok(declared?.kind === 'Proxy');
  assert.deepEqual(declared.inbound[0]?.proxyProtocol, { from: ['10.0.0.0/8', '2001:db8::/32'], send: 'v2' });
  for (const range of ['10.0.0.0', '10.0.0.0/33', '::/129', '10.0.0/8', 'any', '10.0.0.0/08', 'fe80::1%eth0/64', '/8']) {
    refuses(inbound(`proxyProtocolFrom: ["${range}"]`), /proxyProtocolFrom\[0\]/);
  }
  refuses(inbound('proxyProtocolFrom: 10.0.0.0/8'), /a list/);
  refuses(inbound('sendProxyProtocol: v3'), /none, v1, v2/);
  const shared = `${proxy}inbound:\n${passes('serverNames: [a.example], sendProxyProtocol: v2')}${passes('takesUnknown: true')}`;
  refuses(shared, /one use of the PROXY protocol/);
});

test('a termination has its own fields, and no others', () => {
  const inbound = `${proxy}inbound:\n`;
  refuses(`${inbound}${passes('serverNames: []')}`, /serverNames/);
  for (const name of ['""', '"*"', '"*.example"', '"a.*.example"', '"192.0.2.1"', '"a b.example"', '1', '"a.example:443"']) {
    refuses(`${inbound}${passes(`serverNames: [${name}]`)}`, /serverNames\[0\]/);
  }
  refuses(`${inbound}${passes('serverNames: [a.example, A.example]')}`, /each item once/);
  refuses(`${inbound}${passes('takesUnknown: yes')}`, /takesUnknown holds yes, expected true or false/);
  for (const idle of ['999', '86400001', '1000.5', '"1000"', ''])
    refuses(`${inbound}${passes(`takesUnknown: true, idleMs: ${idle}`)}`, /idleMs/);
  for (const limit of ['0', '20001', '-1'])
    refuses(`${inbound}${passes(`takesUnknown: true, maximumConnections: ${limit}`)}`, /maximumConnections/);
  refuses(`${inbound}${passes('takesUnknown: true, nextEndpoint: b')}`, /nextEndpoint holds an unknown key/);
  const at = '{ endpoint: a, listen: "127.0.0.1:1", upstream: "127.0.0.1:9"';
  refuses(`${inbound}  - ${at}, termination: offload }\n`, /termination holds "offload"/);
  refuses(`${inbound}  - ${at}, serverNames: [a.example] }\n`, /serverNames holds an unknown key/);
  refuses(`${inbound}  - ${at}, termination: reencrypt, nextEndpoint: b }\n`, /upstream holds an unknown key/);
  refuses(`${inbound}  - { endpoint: a, listen: "127.0.0.1:1", termination: reencrypt }\n`, /nextEndpoint holds nothing/);
  refuses(
    `${head}kind: Proxy\nname: a\nservice: a\nrole: sdk\ninbound: [{ endpoint: a, termination: reencrypt, nextEndpoint: b }]\n`,
    /unknown key/,
  );
});

test('a scanner is no service, and everything else is', () => {
  assert.equal(parseDeclaration(`${head}kind: Proxy\nname: scanner-1\nrole: scanner\n`).length, 1);
  refuses(`${head}kind: Proxy\nname: scanner-1\nrole: scanner\nservice: orders\n`, /no service/);
  refuses(`${head}kind: Proxy\nname: orders-1\nrole: sidecar\n`, /service holds/);
  refuses(`${head}kind: Proxy\nname: scanner-1\nrole: scanner\nplane: envoy\n`, /native for the role scanner/);
});

const planeOf = (more: string) => parseDeclaration(proxy + more).map((declaration) => declaration.kind === 'Proxy' && declaration.plane);

test('a proxy is native until it is declared to be Envoy', () => {
  assert.deepEqual([planeOf(''), planeOf('plane: native\n'), planeOf('plane: envoy\n')], [['native'], ['native'], ['envoy']]);
  for (const word of ['Envoy', 'nginx', '""', '[envoy]'])
    refuses(`${proxy}plane: ${word}\n`, /plane holds .*expected one of native, envoy/);
  refuses(`${head}kind: Proxy\nname: a\nservice: a\nrole: sdk\nplane: envoy\n`, /native for the role sdk/);
});

test('an exception is of one thing, of a known kind, and ends', () => {
  refuses(exception.replace('endpoint: orders-api\n', ''), /exactly one/);
  refuses(`${exception}path: { caller: web, endpoint: orders-api }\n`, /exactly one/);
  refuses(exception.replace('plaintext-path', 'because'), /exception holds "because"/);
  for (const until of ['never', '2027-02-30', '2027-13-01', '31.01.2027', '2027-01-31T00:00:00', '1800000000000', '""']) {
    refuses(exception.replace('2027-01-31', until), /until holds/);
  }
});

test('an exception for somebody without a certificate says from where and for what', () => {
  const probe = `${exception.replace('plaintext-path', 'probe')}sources: ["10.1.0.0/16"]\ncalls: [{ methods: [GET], path: /healthz/ }]\n`;
  const [declared] = parseDeclaration(probe);
  assert.deepEqual(declared?.kind === 'Exception' && declared.anonymous, {
    sources: ['10.1.0.0/16'],
    calls: [{ methods: ['GET'], host: '', path: '/healthz' }],
    serverName: '',
  });
  refuses(probe.replace('endpoint: orders-api', 'path: { caller: web, endpoint: orders-api }'), /an endpoint/);
  for (const sources of [
    '[]',
    '["10.0.0.0/8"]',
    '["0.0.0.0/0"]',
    '["::/0"]',
    '["::ffff:0.0.0.0/96"]',
    '["10.1.0.1"]',
    '["10.1.0.0/16", "10.1.0.0/16"]',
  ]) {
    refuses(probe.replace('["10.1.0.0/16"]', sources), /sources/);
  }
  for (const path of ['/**', '/*', '/*/x', '/a/../b', '/.well-known/**', '/.well-known/countersign/probe', 'healthz']) {
    refuses(probe.replace('/healthz/', `"${path}"`), /path holds/);
  }
  refuses(probe.replace('[GET]', '[]'), /methods holds/);
  refuses(probe.replace('[GET]', '[get]'), /methods/);
  refuses(probe.replace('path: /healthz/', 'path: /healthz/, callers: [web]'), /unknown key/);
  refuses(`${probe}serverName: a.example\n`, /legacy-caller only/);
  refuses(`${exception}sources: ["10.1.0.0/16"]\n`, /unknown key/);
});

test('a target takes known conditions within their bounds', () => {
  refuses(`${target}minCalls: 0\n`, /minCalls/);
  refuses(`${target}soakMs: 10\n`, /soakMs/);
  refuses(`${target}speed: 3\n`, /speed/);
  refuses(`${target}unwanted: [{ endpoint: a, caller: web }]\n`, /unwanted\[0\]\.reason holds nothing/);
  refuses(`${target}unwanted: [web]\n`, /unwanted\[0\]/);
  refuses(target.replace('endpoints: all', 'endpoints: []'), /endpoints/);
  refuses(target.replace('endpoints: all', 'endpoints: everything'), /endpoints/);
});

test('a policy is checked where it stands', () => {
  refuses(`${head}kind: Policy\nname: strict\ntls: { minimumVersion: "1.0" }\n`, /line 1, tls\.minimumVersion holds "1\.0"/);
  refuses(`${head}kind: Policy\nname: strict\nciphers: []\n`, /ciphers/);
});

test('YAML that could mean more than it says is refused', () => {
  refuses(`${head}kind: Service\nname: &a orders\nowner: *a\n`, /anchor or alias/);
  refuses(`${service}owner: twice\n`, /unique/i);
  refuses(`${head}kind: !custom Service\nname: a\nowner: b\n`, /custom|tag/i);
  refuses(`${service}? [a, b]\n: c\n`, /a key holds/);
  refuses('a: [1, 2\n', /expected well-formed YAML/);
  refuses('\t- a', /expected/);
});

test('what is too large, too deep or too many is refused without being built', () => {
  refuses(`# ${'x'.repeat(1_048_577)}`, /octets, expected at most/);
  refuses('['.repeat(500_000), /open brackets/);
  refuses(`a: ${'{a: '.repeat(1_000)}`, /open brackets/);
  refuses('- '.repeat(200_000), /deep/);
  refuses(Array.from({ length: 700 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'), /deep/);
  const callers = Array.from({ length: 1_001 }, (_, index) => `c${index}`).join(', ');
  refuses(`${endpoint}allowedCallers: [${callers}]\n`, /at most 1000/);
});

test('no text makes the parser fail otherwise than with its own problem', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ maxLength: 300, unit: 'binary' }), mutated), (text) => {
      try {
        parseDeclaration(text);
      } catch (error) {
        assert.ok(error instanceof Problem, String(error));
        assert.equal(error.code, 'input-invalid');
      }
    }),
    { numRuns: 500 },
  );
});

/** A good document with one piece put in somewhere. */
const mutated = fc
  .tuple(
    fc.constantFrom(service, endpoint, proxy, exception, target),
    fc.nat(),
    fc.constantFrom('[', '{', ':', '\n', '- ', '"', '&a ', '*a', '!!binary ', '? ', '|', '\u0000', '---\n', '%YAML 9\n', '<<: ', '#'),
  )
  .map(([text, at, piece]) => text.slice(0, at % text.length) + piece + text.slice(at % text.length));

test('a service in its own process names endpoints, each once, and no address', () => {
  const sdk = proxy.replace('sidecar', 'sdk');
  const [declared] = parseDeclaration(`${sdk}inbound:\n  - { endpoint: orders-api }\noutbound:\n  - { endpoint: stock }\n`);
  assert.ok(declared?.kind === 'Proxy');
  assert.deepEqual(declared.inbound, [
    { endpoint: 'orders-api', listen: null, upstream: null, termination: { kind: 'terminate' }, proxyProtocol: { from: [], send: 'none' } },
  ]);
  assert.deepEqual(declared.outbound, [{ endpoint: 'stock', listen: null }]);
  refuses(`${sdk}inbound:\n  - { endpoint: orders-api, listen: "127.0.0.1:1" }\n`, /inbound\[0\]\.listen/);
  refuses(`${sdk}outbound:\n  - { endpoint: stock, listen: "127.0.0.1:1" }\n`, /outbound\[0\]\.listen/);
  refuses(`${sdk}outbound:\n  - { endpoint: stock }\n  - { endpoint: stock }\n`, /each endpoint once/);
  refuses(`${proxy}inbound:\n  - { endpoint: orders-api }\n`, /inbound\[0\]\.listen holds nothing/);
});
