import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { place } from '../../../test/support/authorities.ts';
import { type ExternalLab, newKey, openExternalLab } from '../../../test/support/external-lab.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { verifyChain } from './accept-chain.ts';
import type { ExternalAuthorityRecord } from './external-authority.ts';
import { findForeignCertificate } from './foreign-certificate-store.ts';
import { recordForeignCertificate } from './record-certificate.ts';

const of = { directoryUrl: 'https://ca.example/directory', anchorsPem: null, rootsPem: null } as const;
const token = 'a-token-of-the-zone-file';
const dns = (url: string, anchorsPem: string | null = null) => ({ challenge: { kind: 'dns-01', webhook: { url, anchorsPem } } }) as const;

/** A certificate of two names that this authority once gave. */
async function holdCertificate(lab: ExternalLab, authority: ExternalAuthorityRecord) {
  const now = lab.clock.now();
  const stranger = makeTestAuthority(now, 'Partner');
  const { certificate } = stranger.issue({ dnsNames: ['www.acme.test', 'api.acme.test'], usages: ['server'] });
  const accepted = verifyChain([certificate, stranger.issuing], encodePem('CERTIFICATE', stranger.root.der), now);
  assert.ok(accepted.kind !== 'refused');
  const issuerId = await lab.deps.database.commit(({ queries }) =>
    recordForeignCertificate(
      queries,
      {
        ...accepted,
        ...place,
        door: 'external',
        asker: 'release',
        askerRole: 'ci',
        profile: 'server',
        authorityId: authority.id,
        endpointId: null,
      },
      now,
    ),
  );
  return (await findForeignCertificate(lab.deps.database.queries, { issuerId, serial: certificate.serial }))!;
}

forEachDatabase('what is declared of another CA', (newUrl) => {
  test('sends a stored token to nobody whom it was not stored for', async () => {
    await using lab = await openExternalLab(await newUrl());
    const first = dns('https://dns.example/zone?key=hidden');
    await lab.declare({ ...of, ...first }, { webhookToken: token });
    await lab.declare({ ...of, ...first, allowedNames: ['acme.test'] });
    const theirs = encodePem('CERTIFICATE', makeTestAuthority(lab.clock.now(), 'Thief').root.der);
    const refused = { code: 'input-invalid', message: /expected the token too/ };
    for (const change of [dns('https://thief.example/'), dns('https://dns.example/zone?key=hidden', theirs)])
      await assert.rejects(lab.declare({ ...of, ...change }), refused);
    await lab.declare(of);
    await assert.rejects(lab.declare({ ...of, ...dns('https://thief.example/') }), refused, 'by way of http-01');
    await lab.declare({ ...of, ...dns('https://next.example/') }, { webhookToken: token });
    const logged = lab.ca.entriesOf('external-authority.changed').map(({ data }) => data['webhook']);
    assert.deepEqual(logged, ['https://dns.example', null, 'https://next.example']);
  });

  test('a pipeline takes no renewal from the engine that lets some of the names end', async () => {
    await using lab = await openExternalLab(await newUrl());
    const authority = await lab.declare(of);
    const renews = await holdCertificate(lab, authority);
    const [one, both] = [['www.acme.test'], ['WWW.acme.test', 'api.acme.test', 'acme.test']];
    const refused = { code: 'issuance-refused', message: /leaves out names/ };
    await assert.rejects(lab.request(authority, one, { renews, key: newKey() }), refused);
    assert.equal((await findForeignCertificate(lab.deps.database.queries, renews))!.renewal, null);
    const { id } = await lab.request(authority, both, { renews });
    assert.equal((await findForeignCertificate(lab.deps.database.queries, renews))!.renewal, id);
    const other = await holdCertificate(lab, authority);
    await lab.request(authority, one, { renews: other, role: 'admin' });
  });
});
