import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { test } from 'node:test';
import { newKey } from '../../../test/support/external-lab.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../../core/x509/certificate-request.ts';
import type { ExternalAuthoritySettings } from './external-authority.ts';
import { judgeRequest, MAXIMUM_NAMES } from './judge-request.ts';

const settings: ExternalAuthoritySettings = {
  directoryUrl: 'https://ca.example/directory',
  anchorsPem: null,
  rootsPem: null,
  contacts: [],
  bindingKeyId: null,
  challenge: { kind: 'dns-01', webhook: { url: 'https://dns.example/', anchorsPem: null } },
  allowedNames: ['acme.test', '*.acme.test', 'one.deep.acme.test', '192.0.2.7'],
  askers: ['admin', 'ci'],
  profile: null,
  preferredChain: null,
};
const facts = { keyBlocked: false, blockedKeys: new Set<string>(), reservedNames: ['cs.acme.test'] };

type Asked = Parameters<typeof buildCertificateRequest>[0];

function reasons(
  asked: Asked,
  {
    key = newKey(),
    role = 'ci' as const,
    ...change
  }: Partial<typeof facts> & {
    key?: KeyObject;
    role?: 'ci' | 'viewer' | 'operator';
    challenge?: ExternalAuthoritySettings['challenge'];
  } = {},
) {
  const { challenge = settings.challenge, ...more } = change;
  const csr = parseCertificateRequest(buildCertificateRequest(asked, key));
  return judgeRequest({ settings: { ...settings, challenge } }, { csr, role }, { ...facts, ...more });
}

const names = (...dnsNames: string[]): Asked => ({ dnsNames });

test('judgeRequest() lets a role that may ask have the allowed names', () => {
  assert.deepEqual(reasons(names('www.acme.test', 'ACME.test', 'one.deep.acme.test')), []);
  assert.deepEqual(reasons({ dnsNames: ['acme.test'], ipAddresses: ['192.0.2.7'] }, { challenge: { kind: 'http-01' } }), []);
  assert.deepEqual(reasons(names('www.acme.test'), { key: generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey }), []);
});

test('judgeRequest() refuses names, keys and askers that the declaration does not have', () => {
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['nothing', reasons({}), /no DNS name/],
    ['a name beside', reasons(names('www.other.test')), /not among the allowed/],
    ['two labels under a wildcard', reasons(names('two.deep.acme.test')), /not among the allowed/],
    ['what only ends alike', reasons(names('notacme.test')), /not among the allowed/],
    ['too many', reasons(names(...Array.from({ length: MAXIMUM_NAMES + 1 }, (_, at) => `n${at}.acme.test`))), /expected at most/],
    ['an address beside', reasons({ ipAddresses: ['192.0.2.1'] }, { challenge: { kind: 'http-01' } }), /192\.0\.2\.1 is not among/],
    ['an address by dns-01', reasons({ ipAddresses: ['192.0.2.7'] }), /by dns-01/],
    [
      'an address of our own',
      reasons({ ipAddresses: ['192.0.2.7'] }, { challenge: { kind: 'http-01' }, reservedNames: ['192.0.2.7'] }),
      /own/,
    ],
    ['an identity', reasons({ dnsNames: ['acme.test'], uris: ['spiffe://acme.test/production/orders'] }), /other names/],
    ["the control plane's host", reasons(names('cs.acme.test')), /control plane's own/],
    ['the same in other letters', reasons(names('CS.acme.test')), /control plane's own/],
    ['a wildcard over it', reasons(names('*.acme.test')), /control plane's own/],
    ['a wildcard by http-01', reasons(names('*.acme.test'), { challenge: { kind: 'http-01' }, reservedNames: [] }), /dns-01 only/],
    ['Ed25519', reasons(names('acme.test'), { key: generateKeyPairSync('ed25519').privateKey }), /none that public authorities take/],
    ['a key of others', reasons(names('acme.test'), { keyBlocked: true }), /compromised/],
    ['a viewer', reasons(names('acme.test'), { role: 'viewer' }), /viewer may not ask/],
    ['a role that was not named', reasons(names('acme.test'), { role: 'operator' }), /operator may not ask/],
  ];
  for (const [name, found, expected] of cases) assert.match(found.join('; '), expected, name);
  const key = newKey();
  const { spkiSha256 } = parseCertificateRequest(buildCertificateRequest(names('acme.test'), key));
  assert.match(reasons(names('acme.test'), { key, blockedKeys: new Set([spkiSha256]) }).join(), /blocked/);
});
