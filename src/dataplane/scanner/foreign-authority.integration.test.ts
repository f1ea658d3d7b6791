import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { joinRequest, newTestRequest, openTestAuthorities, place, trustDomain } from '../../../test/support/authorities.ts';
import { issueCertificate } from '../../control/ca/issue-certificate.ts';
import { probeSpiffeId } from '../../core/identity/spiffe-id.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { verifyPath } from '../../core/x509/verify-path.ts';
import { makePrivateKey } from '../../platform/keystore/make-private-key.ts';
import { leafOf, signByForeignAuthority } from './foreign-authority.ts';

const folder = mkdtempSync(join(tmpdir(), 'countersign-foreign-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const now = Date.now();
const ca = await openTestAuthorities(`sqlite:${join(folder, 'ca.sqlite')}`, now);
after(() => ca[Symbol.asyncDispose]());
const probe = probeSpiffeId(trustDomain, 'production');
const issued = await issueCertificate(
  ca,
  joinRequest({
    door: 'drill',
    profile: 'drill',
    asker: { role: 'scanner', scope: ['production'], spiffeId: probe },
    actor: { kind: 'machine', name: probe },
    csr: newTestRequest().csr,
    spiffeId: probe,
    ...place,
  }),
  now,
);
const good = leafOf(issued.chain);
const anchors = ca.authorities.roots;

test('signByForeignAuthority() makes what only its signer tells apart: nobody who trusts our roots takes it', async () => {
  const intermediates = issued.chain.slice(1).map((der) => parseCertificate(der));
  assert.equal(verifyPath({ leaf: good, intermediates, anchors, usage: 'client', now }).kind, 'valid');
  const [leaf, authority] = (await signByForeignAuthority(good, makePrivateKey)).map((der) => parseCertificate(der));
  for (const helpers of [[authority!], [authority!, ...intermediates], intermediates, []]) {
    const verdict = verifyPath({ leaf: leaf!, intermediates: helpers, anchors, usage: 'client', now });
    assert.equal(verdict.kind === 'invalid' ? verdict.reason : verdict.kind, 'unknown-authority');
  }
});

test('signByForeignAuthority() makes a certificate without any other fault: who trusts that authority takes it', async () => {
  const [leaf, authority] = (await signByForeignAuthority(good, makePrivateKey)).map((der) => parseCertificate(der));
  assert.equal(verifyPath({ leaf: leaf!, intermediates: [], anchors: [authority!], usage: 'client', now }).kind, 'valid');
});

test('signByForeignAuthority() leaves subject, names, key, validity and usages as they were', async () => {
  const foreign = leafOf(await signByForeignAuthority(good, makePrivateKey));
  for (const field of [
    'spki',
    'subject',
    'subjectAltNames',
    'notBefore',
    'notAfter',
    'keyUsage',
    'extendedKeyUsage',
    'basicConstraints',
  ] as const) {
    assert.deepEqual(foreign[field], good[field], field);
  }
  assert.notEqual(foreign.serialHex, good.serialHex);
  assert.notDeepEqual(foreign.issuer, good.issuer);
  assert.ok(Buffer.compare(foreign.serial, Buffer.alloc(1)) > 0, 'a positive serial (RFC 5280 section 4.1.2.2)');
});

test('signByForeignAuthority() uses another authority each time', async () => {
  const made: string[] = [];
  const makeKey = async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    made.push(publicKey.export({ format: 'der', type: 'spki' }).toString('hex'));
    return privateKey;
  };
  for (let count = 0; count < 2; count++) {
    const [, authority] = (await signByForeignAuthority(good, makeKey)).map((der) => parseCertificate(der));
    assert.equal(Buffer.from(authority!.spki).toString('hex'), made[count]);
  }
  assert.equal(new Set(made).size, 2);
});

test('leafOf() refuses a chain without a leaf, and octets that are none', () => {
  for (const chain of [[], [new Uint8Array()], [Buffer.from('leaf')], [good.der.subarray(0, -1)]])
    assert.throws(() => leafOf(chain), { code: 'der-malformed' });
});
