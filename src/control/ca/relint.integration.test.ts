import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { certify, makeHolder } from '../../../test/support/make-certificate.ts';
import { joinRequest, openTestAuthorities } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { issueCertificate } from './issue-certificate.ts';
import { listLintFindings } from './lint-store.ts';
import { relintCertificates } from './relint-certificates.ts';

const now = 1_800_000_000_000;

forEachDatabase('relintCertificates()', (newUrl) => {
  test('finds nothing in what was issued, and rests until the rules change', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    await issueCertificate(ca, joinRequest(), now);
    const first = await relintCertificates(ca, now);
    assert.deepEqual([first.examined >= 1, first.faulty, first.settled], [true, 0, true]);
    assert.deepEqual(await relintCertificates(ca, now + 1), { examined: 0, faulty: 0, settled: true });
    assert.equal(ca.entriesOf('certificates.relinted').length, 0, 'nothing to tell');
    assert.equal((await relintCertificates({ ...ca, rules: 'other' }, now + 2)).examined, first.examined);
    assert.deepEqual(ca.entriesOf('certificates.relinted').length, 1);
  });

  test('keeps what it finds with the certificate, tells the log, and forgets it once it is gone', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    const issued = await issueCertificate(ca, joinRequest(), now);
    const place = (der: Uint8Array) =>
      ca.database.commit(async ({ queries }) => {
        await sql`update certificates set der = ${der} where serial = ${issued.serial}`.execute(queries);
      });
    const stranger = makeHolder('Stranger');
    await place(certify(stranger, stranger, false).der);
    const pass = await relintCertificates(ca, now);
    assert.deepEqual([pass.faulty, pass.settled], [1, true]);
    const findings = await listLintFindings(ca.database.queries, issued);
    assert.ok(findings.length > 0 && findings.every(({ rule, clause, message }) => rule !== '' && clause !== '' && message !== ''));
    assert.equal(ca.entriesOf('certificates.relinted').length, 1);
    await place(issued.der);
    await relintCertificates({ ...ca, rules: 'other' }, now);
    assert.deepEqual(await listLintFindings(ca.database.queries, issued), []);
  });

  test('goes on where it was, a page at a time', async () => {
    await using ca = await openTestAuthorities(await newUrl(), now);
    await Promise.all(Array.from({ length: 201 }, () => issueCertificate(ca, joinRequest(), now)));
    const passes = [await relintCertificates(ca, now), await relintCertificates(ca, now), await relintCertificates(ca, now)];
    assert.deepEqual(
      passes.map(({ settled }) => settled),
      [false, true, true],
    );
    assert.ok(passes[0]!.examined === 200 && passes[1]!.examined >= 1 && passes[2]!.examined === 0);
  });
});
