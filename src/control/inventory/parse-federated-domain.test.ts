import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { encodeBundleDocument } from '../../core/spiffe/bundle-document.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { parseDeclaration } from './parse-declaration.ts';

const authority = makeTestAuthority(Date.UTC(2026, 10, 28), 'Partner');
const bundle = encodeBundleDocument({ sequence: 1, refreshHintMs: 60_000, authorities: [authority.root.der] }).trim();
const anchors = encodePem('CERTIFICATE', authority.root.der).trim().replaceAll('\n', '\n  ');
const head = 'apiVersion: countersign/v1\nkind: FederatedTrustDomain\nname: partner\n';
const common = `${head}trustDomain: partner.example\nurl: https://bundles.partner.example/\n`;
const web = `${common}profile: https_web\n`;
const spiffe = `${common}profile: https_spiffe\nendpointSpiffeId: spiffe://partner.example/e\nbundle: '${bundle}'\n`;

test('a trust domain of others is declared by either profile', () => {
  const [byName] = parseDeclaration(`${web}anchorsPem: |\n  ${anchors}\n`);
  const [byId] = parseDeclaration(spiffe);
  assert.equal(byName?.kind === 'FederatedTrustDomain' && byName.endpoint.kind, 'https_web');
  assert.deepEqual(byId?.kind === 'FederatedTrustDomain' && byId.endpoint, {
    kind: 'https_spiffe',
    spiffeId: 'spiffe://partner.example/e',
    bundle,
  });
});

const refused: readonly (readonly [string, string])[] = [
  ['a trust domain in capitals', web.replace('trustDomain: partner', 'trustDomain: Partner')],
  ['a trust domain with a path', web.replace('trustDomain: partner.example', 'trustDomain: spiffe://partner.example/x')],
  ['plain http', web.replace('https://bundles', 'http://bundles')],
  ['credentials in the URL', web.replace('https://', 'https://a:b@')],
  ['a fragment in the URL', web.replace('example/\n', 'example/#x\n')],
  ['no profile', common],
  ['an unknown profile', `${common}profile: https\n`],
  ['https_web with an id', `${web}endpointSpiffeId: spiffe://partner.example/e\n`],
  ['https_web with a bundle', `${web}bundle: '${bundle}'\n`],
  ['anchors that are none', `${web}anchorsPem: x\n`],
  ['https_spiffe with anchors', `${spiffe}anchorsPem: |\n  ${anchors}\n`],
  ['https_spiffe without an id', spiffe.replace(/endpointSpiffeId.*\n/, '')],
  ['https_spiffe without a bundle', spiffe.replace(/bundle: .*\n/, '')],
  ['an endpoint of another trust domain', spiffe.replace('spiffe://partner.example/e', 'spiffe://evil.example/e')],
  ['an endpoint that is a trust domain', spiffe.replace('spiffe://partner.example/e', 'spiffe://partner.example')],
  ['a bundle that is none', spiffe.replace(/bundle: .*\n/, 'bundle: x\n')],
  ['a bundle in which all are revoked', spiffe.replace(/bundle: .*\n/, `bundle: '{"keys":[]}'\n`)],
  ['a bundle with a kid', spiffe.replace('"use"', '"kid":"a","use"')],
];
for (const [name, text] of refused) {
  test(`a trust domain of others with ${name} is refused`, () => {
    assert.throws(() => parseDeclaration(text), { code: 'input-invalid' });
  });
}
