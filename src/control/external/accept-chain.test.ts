import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { test } from 'node:test';
import { newKey } from '../../../test/support/external-lab.ts';
import { makeTestAuthority, type TestLeaf } from '../../../test/support/test-authority.ts';
import { DAY_MS } from '../../core/time/instant.ts';
import { buildCertificateRequest } from '../../core/x509/certificate-request.ts';
import { oids } from '../../core/x509/oid.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { acceptChain } from './accept-chain.ts';

const NOW = Date.UTC(2026, 10, 24);
const authority = makeTestAuthority(NOW);
const stranger = makeTestAuthority(NOW, 'Stranger');
const rootsPem = encodePem('CERTIFICATE', authority.root.der);
const key = newKey();
const csr = buildCertificateRequest({ dnsNames: ['www.acme.test'] }, key);
const order = { csr, names: ['www.acme.test'], purposes: [oids.serverAuth] as string[], longestMs: 90 * DAY_MS };

function chainOf(change: TestLeaf = {}, by = authority): readonly Uint8Array[] {
  return by.issue({ dnsNames: ['www.acme.test'], usages: ['server'], publicKey: createPublicKey(key), ...change }).chain;
}

function altered(der: Uint8Array): Uint8Array {
  return Buffer.from(der).fill(1, der.length - 4);
}

function verdictOf(chain: readonly Uint8Array[], settings: { rootsPem?: string | null; preferredChain?: string | null } = {}): string {
  const verdict = acceptChain([chain], order, { rootsPem, preferredChain: null, ...settings }, NOW);
  return verdict.kind === 'accepted' ? 'accepted' : verdict.detail;
}

test('acceptChain() takes the key and exactly the names that were asked for, by a path to the root', () => {
  assert.equal(verdictOf(chainOf()), 'accepted');
  assert.equal(verdictOf(chainOf({ dnsNames: ['WWW.acme.test'] })), 'accepted');
});

test('acceptChain() refuses what was not asked for, and what nobody could verify', () => {
  const cases: readonly (readonly [string, readonly Uint8Array[], RegExp])[] = [
    ['another key', chainOf({ publicKey: createPublicKey(newKey()) }), /for another key/],
    ['another name', chainOf({ dnsNames: ['api.acme.test'] }), /other names/],
    ['a name more', chainOf({ dnsNames: ['www.acme.test', 'api.acme.test'] }), /other names/],
    ['an identity more', chainOf({ uris: ['spiffe://acme.test/production/orders'] }), /other names/],
    ['an address instead', chainOf({ dnsNames: [], ips: ['192.0.2.1'] }), /other names/],
    ['another root', chainOf({}, stranger), /not valid/],
    ['no intermediate', chainOf().slice(0, 1), /not valid/],
    ['a chain of nothing', [], /empty/],
    ['an altered signature', [altered(chainOf()[0]!), authority.issuing.der], /not valid/],
    ['what is no certificate', [Buffer.from('3003020101', 'hex')], /cannot be read/],
    ['a client only', chainOf({ usages: ['client'] }), /not valid/],
    [
      'one that lasts too long',
      chainOf({ notBefore: NOW - DAY_MS, notAfter: NOW + 90 * DAY_MS }),
      /lasts 91 days, expected at most 90 days/,
    ],
    ['one that has ended', chainOf({ notBefore: NOW - 2 * DAY_MS, notAfter: NOW - DAY_MS }), /not valid/],
  ];
  for (const [name, chain, expected] of cases) assert.match(verdictOf(chain), expected, name);
  assert.match(verdictOf(chainOf(), { rootsPem: null }), /not valid/, 'no public root signed it');
});

test('acceptChain() holds what comes to what was decided: every purpose, and no longer life', () => {
  const judge = (change: Partial<typeof order> | { longestMs: null }, leaf: TestLeaf = {}) => {
    const verdict = acceptChain([chainOf(leaf)], { ...order, ...change }, { rootsPem, preferredChain: null }, NOW);
    return verdict.kind === 'accepted' ? 'accepted' : verdict.detail;
  };
  const whole = { notBefore: NOW, notAfter: NOW + 90 * DAY_MS - 1_000 };
  assert.equal(judge({}, whole), 'accepted', 'both ends included');
  assert.match(judge({}, { ...whole, notAfter: whole.notAfter + 1_000 }), /lasts 90 days, expected at most 90 days/);
  assert.match(judge({ longestMs: 47 * DAY_MS }, whole), /expected at most 47 days/);
  assert.equal(
    judge({ longestMs: null }, { ...whole, notAfter: NOW + 300 * DAY_MS }),
    'accepted',
    'what was ordered before this was decided',
  );
  const both = [oids.serverAuth, oids.clientAuth];
  assert.match(judge({ purposes: both }), /lacks the purposes 1\.3\.6\.1\.5\.5\.7\.3\.2/);
  assert.equal(judge({ purposes: both }, { usages: ['server', 'client'] }), 'accepted');
  assert.equal(judge({}, { usages: ['server', 'client'] }), 'accepted', 'a purpose more is the affair of the CA');
});

test('acceptChain() takes the chain that is preferred, by the common name of a certificate or of its issuer', () => {
  const chains = [chainOf(), chainOf({}, stranger)];
  const roots = `${rootsPem}${encodePem('CERTIFICATE', stranger.root.der)}`;
  const issuerOf = (preferredChain: string | null): string | undefined => {
    const verdict = acceptChain(chains, order, { rootsPem: roots, preferredChain }, NOW);
    return verdict.kind === 'accepted' ? verdict.issuer.spkiSha256 : verdict.detail;
  };
  assert.equal(issuerOf('Stranger Root'), stranger.issuing.spkiSha256);
  assert.equal(issuerOf('Test Issuing'), authority.issuing.spkiSha256);
  assert.equal(issuerOf(null), authority.issuing.spkiSha256);
  assert.equal(issuerOf('Nobody'), authority.issuing.spkiSha256, 'rather the first than none');
});
