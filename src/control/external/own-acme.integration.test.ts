import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { openAcmeLab } from '../../../test/support/acme-lab.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { openExternalLab } from '../../../test/support/external-lab.ts';
import { findForeignCertificate } from './foreign-certificate-store.ts';

forEachDatabase('another CA, a Countersign', (newUrl) => {
  test('our own ACME server is asked as any other, and difficult as it may be', async () => {
    await using lab = await openExternalLab(await newUrl());
    await using other = await openAcmeLab(await newUrl(), {
      acme: { chaos: true, validation: { allow: [`127.0.0.0/8:${lab.httpPort}`], httpPort: lab.httpPort } },
    });
    const rootsPem = readFileSync(other.rootFile, 'utf8');
    const { directoryUrl } = other;
    const authority = await lab.declare(
      { directoryUrl, anchorsPem: rootsPem, rootsPem, allowedNames: ['www.localhost'] },
      { name: 'other' },
    );
    let order = await lab.drive(await lab.request(authority, ['www.localhost']));
    for (let tries = 0; order.status !== 'issued' && order.status !== 'failed' && tries < 20; tries++) {
      lab.advance(order.dueAt - lab.clock.now());
      order = await lab.drive(order);
    }
    assert.equal(order.status, 'issued', order.detail ?? '');
    const held = (await findForeignCertificate(lab.ca.database.queries, order.certificate!))!;
    assert.equal(held.authorityId, authority.id);
    assert.equal(lab.ca.entriesOf('external-order.issued').length, 1);
  });
});
