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
import { findExternalAuthorityById } from './store.ts';
import { recordForeignCertificate } from './record-certificate.ts';

const of = { directoryUrl: 'https://ca.example/directory', anchorsPem: null, rootsPem: null } as const;
const token = 'a-token-of-the-zone-file';
const dns = (url: string, anchorsPem: string | null = null) => ({ challenge: { kind: 'dns-01', webhook: { url, anchorsPem } } }) as const;

/** A certificate of two names that this authority once gave. */
async function holdCertificate(lab: ExternalLab, authority: ExternalAuthorityRecord) {
  const now = lab.clock.now();
  const stranger = makeTestAuthority(now, 'Partner');
  const { certificate } = stranger.issue({ dnsNames: ['www.acme.test', 'api.acme.test'], usages: ['server'] });
  const accepted = verifyChain(
    [certificate, stranger.issuing],
    { rootsPem: encodePem('CERTIFICATE', stranger.root.der), usage: 'server' },
    now,
  );
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

  test('one of before profiles judged it is asked for nothing it was not asked for then, until it is declared anew', async () => {
    await using lab = await openExternalLab(await newUrl());
    const { database } = lab.deps;
    for (const [askers, judgedBy] of [
      [['admin', 'operator', 'ci'], ['server']],
      [['operator'], []],
      [['admin', 'ci'], []],
    ] as const) {
      const { id, settings, updatedAt } = await lab.declare(of);
      const { judgedBy: _, ...before } = settings;
      await database.commit(({ queries }) =>
        queries
          .withTables<{ external_authorities: { id: string; settings: string } }>()
          .updateTable('external_authorities')
          .set({ settings: JSON.stringify({ ...before, askers }) })
          .where('id', '=', id)
          .execute(),
      );
      const held = (await findExternalAuthorityById(database.queries, id))!;
      assert.deepEqual([held.settings, held.updatedAt], [{ ...before, judgedBy }, updatedAt]);
      const asked = lab.request(held, ['www.acme.test'], { role: 'operator' });
      if (judgedBy.length === 0)
        await assert.rejects(asked, { code: 'issuance-refused', message: /issuer: .*declared anew with `judgedBy`/ });
      else assert.equal((await asked).status, 'requested');
    }
    assert.equal((await lab.request(await lab.declare(of), ['www.acme.test'])).status, 'requested');
  });

  test('what was declared anew since it was read is not ordered by what it was', async () => {
    await using lab = await openExternalLab(await newUrl());
    const old = await lab.declare(of);
    lab.advance(1);
    await lab.declare({ ...of, allowedNames: ['api.acme.test'] });
    await assert.rejects(lab.request(old, ['www.acme.test']), { code: 'state-conflict', message: /changed a moment ago/ });
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
