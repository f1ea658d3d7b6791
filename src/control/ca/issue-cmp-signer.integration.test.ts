import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinRequest, openTestAuthorities, place } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { DAY_MS } from '../../core/time/instant.ts';
import { certificateKey, parseCertificate } from '../../core/x509/certificate.ts';
import { buildName } from '../../core/x509/name.ts';
import { oids } from '../../core/x509/oid.ts';
import { verifySignature } from '../../core/x509/signature-algorithm.ts';
import { verifyPath } from '../../core/x509/verify-path.ts';
import { isCmpSignerOld, issueCmpSigner } from './issue-cmp-signer.ts';
import { issueCertificate } from './issue-certificate.ts';

const now = Date.UTC(2026, 10, 1);

forEachDatabase('signers of CMP answers', (newUrl) => {
  test('one is issued for the control plane alone, for CMP alone, and renewed at half of its life', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const signer = await issueCmpSigner(ca, now);
    const { certificate, chain } = signer;
    assert.deepEqual(certificate.extendedKeyUsage, [oids.cmcCa]);
    assert.deepEqual([...(certificate.keyUsage ?? [])], ['digitalSignature']);
    assert.match(certificate.subject.text, /^CN=Countersign CMP [0-9a-f]{12}$/);
    assert.equal(certificate.subjectKeyId?.length, 40);
    const octets = Buffer.from('an answer');
    assert.equal(verifySignature(signer.algorithm, certificateKey(certificate), octets, signer.sign(octets)), true);
    const intermediates = chain.slice(1).map((der) => parseCertificate(der));
    const path = { leaf: certificate, intermediates, anchors: ca.authorities.roots, now } as const;
    for (const usage of ['client', 'server'] as const) assert.equal(verifyPath({ ...path, usage }).kind, 'invalid', `no ${usage} of TLS`);
    const [entry] = ca.entriesOf('certificate.issued');
    assert.deepEqual([entry?.data['door'], entry?.actor], ['control-plane', { kind: 'system', name: 'cmp' }]);
    assert.equal(isCmpSignerOld(signer, now + 3 * DAY_MS), false);
    assert.equal(isCmpSignerOld(signer, now + 4 * DAY_MS), true);
    const other = await issueCmpSigner(ca, now);
    assert.notEqual(other.certificate.spkiSha256, certificate.spkiSha256, 'every process has its own key');
  });

  test('nobody gets one by asking', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const distinguishedName = buildName([[oids.commonName, 'CMP']]);
    const signer = { profile: 'cmp-signer', spiffeId: null, proxyId: null, distinguishedName } as const;
    for (const door of ['rest', 'acme', 'cmp', 'est', 'scep', 'renewal', 'join'] as const)
      for (const role of ['admin', 'operator', 'ci', 'holder'] as const) {
        const asker = { role, scope: '*', spiffeId: null } as const;
        await assert.rejects(
          issueCertificate(ca, joinRequest({ ...signer, door, asker, ...place }), now),
          { code: 'issuance-refused' },
          `${door} ${role}`,
        );
      }
  });
});
