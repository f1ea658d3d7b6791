import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { place } from '../../../test/support/authorities.ts';
import { makeGoSpiffeDomain, missingGoSpiffe, serveGoSpiffe } from '../../../test/support/go-spiffe.ts';
import { makeTestAuthority, type TestCredential } from '../../../test/support/test-authority.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { parseTrustDomain } from '../../core/identity/trust-domain.ts';
import { encodeBundleDocument } from '../../core/spiffe/bundle-document.ts';
import { HOUR_MS, MINUTE_MS } from '../../core/time/instant.ts';
import { type Certificate } from '../../core/x509/certificate.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { fetchOutside } from '../../platform/network/fetch-outside.ts';
import { makeNameResolver } from '../../platform/network/name-resolver.ts';
import { parseOutsidePolicy } from '../../platform/network/outside-policy.ts';
import type { BundleEndpoint } from '../inventory/record.ts';
import { parseBundleDocument } from '../../core/spiffe/parse-bundle-document.ts';
import { fetchBundle } from './fetch-bundle.ts';

const NOW = Date.now();
const endpointId = parseSpiffeId('spiffe://partner.example/bundle-endpoint');
const [theirs, stranger, web] = ['Partner', 'Stranger', 'Web'].map((name) => makeTestAuthority(NOW, name)) as [
  ReturnType<typeof makeTestAuthority>,
  ReturnType<typeof makeTestAuthority>,
  ReturnType<typeof makeTestAuthority>,
];
const good = encodeBundleDocument({ sequence: 1, refreshHintMs: 60_000, authorities: [theirs.root.der] });
const webCredential = web.issue({ ips: ['127.0.0.1'], usages: ['server'] });
const svid = theirs.issue({ uris: [endpointId] });
const endpoints = {
  web: { kind: 'https_web', anchorsPem: encodePem('CERTIFICATE', web.root.der) },
  spiffe: { kind: 'https_spiffe', spiffeId: endpointId, bundle: good },
} as const satisfies { readonly [name: string]: BundleEndpoint };

const options = ({ chain, key }: TestCredential) => ({
  cert: chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
  key: key.export({ type: 'pkcs8', format: 'pem' }),
});
let answer: RequestListener = (_request, response) => void response.end(good);
let asked = 0;
const server = createServer(options(svid), (request, response) => {
  asked++;
  answer(request, response);
});
before(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
after(() => {
  server.closeAllConnections();
  server.close();
});
const url = (): string => `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;

async function fetched(credential: TestCredential, endpoint: BundleEndpoint, allowed = '127.0.0.0/8') {
  server.setSecureContext(options(credential));
  return fetchFrom(url(), { endpoint, anchors: [theirs.root] }, allowed);
}

async function fetchFrom(
  from: string,
  { endpoint, anchors }: { readonly endpoint: BundleEndpoint; readonly anchors: readonly Certificate[] },
  allowed = '127.0.0.0/8',
) {
  const policy = parseOutsidePolicy([allowed], () => []);
  const domain = {
    id: 'domain_1',
    ...place,
    name: 'partner',
    trustDomain: parseTrustDomain('partner.example'),
    url: from,
    endpoint,
  } as const;
  const fetch = (request: Parameters<typeof fetchOutside>[1]) => fetchOutside({ resolver: makeNameResolver([]), policy }, request);
  return fetchBundle(fetch, domain, { authorities: anchors }, NOW);
}

test('fetchBundle() takes the bundle from the holder of the SPIFFE ID, or from the server of the name', async () => {
  for (const [credential, endpoint] of [
    [svid, endpoints.spiffe],
    [webCredential, endpoints.web],
  ] as const) {
    const found = await fetched(credential, endpoint);
    assert.equal(found.kind === 'bundle' && found.bundle.authorities.length, 1, JSON.stringify(found));
  }
});

const impostors: readonly (readonly [string, TestCredential, BundleEndpoint, RegExp])[] = [
  ['another workload of the domain', theirs.issue({ uris: ['spiffe://partner.example/other'] }), endpoints.spiffe, /expected spiffe:/],
  ['the id under an authority of others', stranger.issue({ uris: [endpointId] }), endpoints.spiffe, /unknown-authority/],
  ['a web certificate in place of an SVID', webCredential, endpoints.spiffe, /unknown-authority/],
  ['two URIs', theirs.issue({ uris: [endpointId, 'spiffe://partner.example/x'] }), endpoints.spiffe, /wrong-identity/],
  ['no URI', theirs.issue({ ips: ['127.0.0.1'] }), endpoints.spiffe, /wrong-identity/],
  ['an id of another domain', theirs.issue({ uris: ['spiffe://evil.example/bundle-endpoint'] }), endpoints.spiffe, /crossed-trust-domain/],
  ['an expired SVID', theirs.issue({ uris: [endpointId], notAfter: NOW - MINUTE_MS }), endpoints.spiffe, /expired/],
  ['one that is not valid yet', theirs.issue({ uris: [endpointId], notBefore: NOW + HOUR_MS }), endpoints.spiffe, /not-yet-valid/],
  ['a certificate for clients', theirs.issue({ uris: [endpointId], usages: ['client'] }), endpoints.spiffe, /wrong-usage/],
  ['a web certificate of unknown roots', stranger.issue({ ips: ['127.0.0.1'] }), endpoints.web, /^connection: /],
  ['a web certificate for another name', web.issue({ dnsNames: ['other.example'] }), endpoints.web, /^connection: /],
  ['an SVID in place of a web certificate', svid, endpoints.web, /^connection: /],
];
for (const [name, credential, endpoint, reason] of impostors) {
  test(`fetchBundle() asks nothing of a server that shows ${name}`, async () => {
    asked = 0;
    const found = await fetched(credential, endpoint);
    assert.match(found.kind === 'failed' ? found.detail : '', reason);
    assert.equal(asked, 0);
  });
}

const answers: readonly (readonly [string, RequestListener, RegExp])[] = [
  ['a redirect to itself', (_request, response) => void response.writeHead(302, { location: url() }).end(good), /redirect/],
  [
    'a redirect elsewhere',
    (_request, response) => void response.writeHead(307, { location: 'https://127.0.0.1:1/' }).end(good),
    /redirect/,
  ],
  ['a status that is no 200', (_request, response) => void response.writeHead(404).end(good), /status 404/],
  ['a part', (_request, response) => void response.writeHead(206).end(good), /status 206/],
  ['too much', (_request, response) => void response.end(`${good}${' '.repeat(600_000)}`), /larger than/],
  ['a page', (_request, response) => void response.end('<html>sign in</html>'), /no JSON/],
  ['no keys', (_request, response) => void response.end('{"spiffe_sequence":9}'), /no list of keys/],
  ['a kid at a key of X.509', (_request, response) => void response.end(good.replace('"use"', '"kid":"a","use"')), /has a kid/],
  ['half an answer', ({ socket }) => void socket.end('HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{'), /^connection: /],
  ['nothing', ({ socket }) => void socket.destroy(), /^connection: /],
];
for (const [name, listener, reason] of answers) {
  test(`fetchBundle() takes nothing from an answer that is ${name}`, async () => {
    answer = listener;
    const found = await fetched(svid, endpoints.spiffe);
    answer = (_request, response) => void response.end(good);
    assert.match(found.kind === 'failed' ? found.detail : '', reason);
  });
}

test('fetchBundle() goes nowhere that the address policy does not permit', async () => {
  asked = 0;
  const found = await fetched(svid, endpoints.spiffe, '10.0.0.0/8');
  assert.match(found.kind === 'failed' ? found.detail : '', /^policy: /);
  assert.equal(asked, 0);
});

test(
  'fetchBundle() takes what go-spiffe publishes, by both profiles, and from no other endpoint of it',
  { skip: missingGoSpiffe },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'countersign-go-spiffe-'));
    const domain = await makeGoSpiffeDomain(folder, 'partner.example', { sequence: 41, hint: '90s' });
    const { authorities: anchors } = parseBundleDocument(domain.bundle(), parseTrustDomain('partner.example'));
    writeFileSync(join(folder, 'web.pem'), options(webCredential).cert);
    writeFileSync(join(folder, 'web.key'), options(webCredential).key);
    const document = { td: domain.name, file: domain.bundleFile };
    await using spiffe = await serveGoSpiffe('serve-bundle', { ...document, cert: domain.endpoint.cert, key: domain.endpoint.key });
    await using byName = await serveGoSpiffe('serve-bundle', { ...document, cert: join(folder, 'web.pem'), key: join(folder, 'web.key') });
    const [spiffeUrl, webUrl] = [`https://127.0.0.1:${spiffe.port}/`, `https://127.0.0.1:${byName.port}/`];
    const byId = { kind: 'https_spiffe', spiffeId: parseSpiffeId(domain.endpoint.id), bundle: domain.bundle() } as const;
    for (const [from, endpoint] of [
      [spiffeUrl, byId],
      [webUrl, endpoints.web],
    ] as const) {
      const found = await fetchFrom(from, { endpoint, anchors });
      assert.ok(found.kind === 'bundle', JSON.stringify(found));
      assert.equal(found.bundle.sequence, 41);
      assert.equal(found.bundle.refreshHintMs, 90_000);
      assert.equal(found.bundle.authorities.length, 1);
    }
    const workload = { ...byId, spiffeId: parseSpiffeId(domain.workload.id) };
    for (const [from, endpoint, trusted] of [
      [spiffeUrl, workload, anchors],
      [spiffeUrl, byId, [theirs.root]],
      [spiffeUrl, endpoints.web, anchors],
      [webUrl, byId, anchors],
    ] as const) {
      assert.equal((await fetchFrom(from, { endpoint, anchors: trusted })).kind, 'failed');
    }
    rmSync(folder, { recursive: true, force: true });
  },
);
