import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type AcmeLab, openAcmeLab } from '../../../test/support/acme-lab.ts';
import { ada, place } from '../../../test/support/authorities.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type ExternalLab, newKey, openExternalLab } from '../../../test/support/external-lab.ts';
import { pebbleProgram, startPebble } from '../../../test/support/pebble.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { DAY_MS } from '../../core/time/instant.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { type CertificateKey, type CertificateRecord, findCertificate, findCertificatesBySerial } from '../ca/certificate-store.ts';
import type { RevocationReason } from '../ca/revocation-reason.ts';
import { revokeCertificate } from '../ca/revoke-certificate.ts';
import { askRevocations } from './ask-revocations.ts';
import { findForeignCertificate, NEVER, releaseRenewal } from './foreign-certificate-store.ts';
import { findForeignRevocation } from './foreign-revocation-store.ts';
import { importCertificate } from './import-certificate.ts';
import { renewCertificates } from './renew-certificates.ts';
import { requestForeignRevocation } from './request-revocation.ts';

const skip = pebbleProgram === null && process.env['CI'] !== 'true' ? 'no Pebble here' : false;
const NAME = 'www.localhost';

async function open(newUrl: () => Promise<string>) {
  // Handed to the test as it stands: what a test opens later is closed with it.
  const stack = new AsyncDisposableStack();
  const lab = stack.use(await openExternalLab(await newUrl()));
  const newOther = async (): Promise<AcmeLab> =>
    stack.use(
      await openAcmeLab(await newUrl(), { acme: { validation: { allow: [`127.0.0.0/8:${lab.httpPort}`], httpPort: lab.httpPort } } }),
    );
  const other = await newOther();
  const key = newKey();
  return { lab, other, newOther, key, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

type Scene = Awaited<ReturnType<typeof open>>;

function declare(lab: ExternalLab, { directoryUrl, rootFile }: Pick<AcmeLab, 'directoryUrl' | 'rootFile'>) {
  const rootsPem = readFileSync(rootFile, 'utf8');
  return lab.declare({ directoryUrl, anchorsPem: rootsPem, rootsPem, allowedNames: [NAME] }, { name: 'other' });
}

async function issue({ lab, other, key }: Scene): Promise<CertificateRecord> {
  const order = await lab.drive(await lab.request(await declare(lab, other), [NAME], { key }));
  assert.equal(order.status, 'issued', order.detail ?? '');
  return (await findCertificatesBySerial(lab.ca.database.queries, order.certificate!.serial))[0]!;
}

const revoke = (lab: ExternalLab, { issuerKeySha256, serial }: CertificateKey, reason: RevocationReason = 'superseded') =>
  requestForeignRevocation(lab.deps, { issuerKeySha256, serial, reason }, ada, lab.clock.now());

const entriesOf = ({ ca }: ExternalLab): readonly string[] =>
  ca.entries.map(({ type }) => type).filter((type) => type.startsWith('external-revocation') || type === 'external-certificate.revoked');

forEachDatabase('revocation at another CA', (newUrl) => {
  test('is durable before it is asked for, recorded when the CA confirms it, and ends the renewals', async () => {
    await using scene = await open(newUrl);
    const { lab, other } = scene;
    const { queries } = lab.ca.database;
    const held = await issue(scene);
    const at = async () => (await findCertificate(queries, held.issuerKeySha256, held.serial))!;
    assert.equal((await revoke(lab, held)).status, 'asked');
    assert.equal((await at()).revokedAt, null, 'nobody has confirmed it');
    const again = await revoke(lab, held);
    assert.deepEqual([again.status, entriesOf(lab)], ['asked', ['external-revocation.requested']], 'a second time it is the same request');
    lab.advance(held.notAfter - lab.clock.now() - DAY_MS);
    assert.equal(await renewCertificates(lab.deps, lab.clock.now()), 0, 'nor is it replaced while that is so');
    const taken = await Promise.all([askRevocations(lab.deps), askRevocations(lab.deps)]);
    assert.equal(taken[0]! + taken[1]!, 1, 'two servers ask once');
    const { revokedAt, revocationReason } = await at();
    assert.deepEqual([revokedAt !== null, revocationReason], [true, 'superseded']);
    const there = await findCertificate(other.ca.database.queries, held.issuerKeySha256, held.serial);
    assert.equal(there?.revocationReason, 'superseded');
    assert.deepEqual(entriesOf(lab), ['external-revocation.requested', 'external-certificate.revoked']);
    assert.deepEqual(lab.ca.entriesOf('external-certificate.revoked')[0]!.actor, ada, 'who asked for it');
    const watched = (await findForeignCertificate(queries, held))!;
    assert.deepEqual([watched.finding, watched.renewAt, watched.checkAt], ['revoked', NEVER, NEVER]);
    await assert.rejects(revoke(lab, held), { code: 'state-conflict', message: /revoked already/ });
    assert.equal(await askRevocations(lab.deps), 0);
    assert.deepEqual(lab.logged, []);
  });

  test('of a compromised key takes that key out of use here too', async () => {
    await using scene = await open(newUrl);
    const { lab, other } = scene;
    const held = await issue(scene);
    await revoke(lab, held);
    await revoke(lab, held, 'keyCompromise');
    await askRevocations(lab.deps);
    const there = await findCertificate(other.ca.database.queries, held.issuerKeySha256, held.serial);
    assert.equal(there?.revocationReason, 'keyCompromise', 'what was learnt before the CA was asked counts');
    const { key } = scene;
    await assert.rejects(lab.request(await declare(lab, other), [NAME], { key }), { code: 'issuance-refused', message: /key is blocked/ });
  });

  test('stands above a renewal that is under way: it is not begun anew where it fails, and by a key that others know it ends', async () => {
    await using scene = await open(newUrl);
    const { lab, other, key } = scene;
    const { queries } = lab.ca.database;
    const held = await issue(scene);
    const certificate = (await findForeignCertificate(queries, held))!;
    lab.advance(certificate.renewAt - lab.clock.now());
    assert.equal(await renewCertificates(lab.deps, lab.clock.now()), 1);
    const order = (await findForeignCertificate(queries, held))!.renewal!;
    await revoke(lab, held);
    await lab.ca.database.commit((unit) => releaseRenewal(unit.queries, certificate, { order, renewAt: lab.clock.now() }));
    assert.equal(await renewCertificates(lab.deps, lab.clock.now()), 0);
    await revoke(lab, held, 'keyCompromise');
    const driven = await lab.drive(await lab.find(order));
    assert.deepEqual([driven.status, driven.detail?.includes('the key is known to be compromised')], ['failed', true]);
    await assert.rejects(lab.request(await declare(lab, other), [NAME], { key }), { code: 'issuance-refused', message: /key is blocked/ });
  });

  test('waits for a CA that is away, and takes its word that it was done already', async () => {
    await using scene = await open(newUrl);
    const { lab, other } = scene;
    const { queries } = lab.ca.database;
    const held = await issue(scene);
    await revoke(lab, held);
    const away = { ...lab.deps, policy: { permits: () => false } };
    assert.equal(await askRevocations(away), 1);
    const waiting = (await findForeignRevocation(queries, held))!;
    assert.deepEqual([waiting.status, waiting.attempts], ['asked', 1]);
    assert.ok(waiting.dueAt > lab.clock.now());
    assert.equal(await askRevocations(lab.deps), 0, 'not before its time');
    assert.equal((await findCertificate(queries, held.issuerKeySha256, held.serial))!.revokedAt, null);
    await revokeCertificate(other.ca, { ...held, reason: 'superseded' }, ada, lab.clock.now());
    lab.advance(waiting.dueAt - lab.clock.now());
    assert.equal(await askRevocations(lab.deps), 1);
    assert.equal((await findForeignRevocation(queries, held))!.status, 'revoked');
    assert.deepEqual(entriesOf(lab), ['external-revocation.requested', 'external-revocation.deferred', 'external-certificate.revoked']);
  });

  test('that the CA refuses is told of, changes nothing, and may be asked for again', async () => {
    await using scene = await open(newUrl);
    const { lab, other, newOther } = scene;
    const { queries } = lab.ca.database;
    const held = await issue(scene);
    await declare(lab, await newOther());
    await revoke(lab, held);
    await askRevocations(lab.deps);
    const failed = (await findForeignRevocation(queries, held))!;
    assert.equal(failed.status, 'failed');
    assert.match(failed.detail ?? '', /not one of this CA/);
    assert.equal((await findCertificate(queries, held.issuerKeySha256, held.serial))!.revokedAt, null);
    assert.ok((await findForeignCertificate(queries, held))!.renewAt < held.notAfter, 'it is renewed again');
    await declare(lab, other);
    await revoke(lab, held);
    await askRevocations(lab.deps);
    assert.equal((await findForeignRevocation(queries, held))!.status, 'revoked');
  });

  test('is refused for what was imported, has ended, is not there, or for a reason that is not ours to give', async () => {
    await using scene = await open(newUrl);
    const { lab } = scene;
    const { queries } = lab.ca.database;
    const partner = makeTestAuthority(lab.clock.now(), 'Partner');
    const { chain } = partner.issue({ dnsNames: ['api.partner.test'], usages: ['server'] });
    const chainPem = chain.map((der) => encodePem('CERTIFICATE', der)).join('');
    const rootsPem = encodePem('CERTIFICATE', partner.root.der);
    const brought = await importCertificate(lab.deps, { ...place, chainPem, rootsPem, endpointId: null }, ada, lab.clock.now());
    const imported = (await findCertificatesBySerial(queries, brought.serial))[0]!;
    const held = await issue(scene);
    await assert.rejects(revoke(lab, imported), { code: 'state-conflict', message: /another CA/ });
    await assert.rejects(revoke(lab, { ...held, serial: Uint8Array.of(1, 2, 3) }), { code: 'not-found' });
    await assert.rejects(revoke(lab, held, 'cACompromise'), { code: 'input-invalid' });
    lab.advance(held.notAfter - lab.clock.now() + 1_000);
    await assert.rejects(revoke(lab, held), { code: 'state-conflict', message: /expired/ });
    assert.deepEqual(entriesOf(lab), []);
    assert.equal(await askRevocations(lab.deps), 0);
  });

  test('goes the same way at Pebble', { skip }, async () => {
    await using lab = await openExternalLab(await newUrl());
    await using pebble = await startPebble({ dns: lab.dns.address, httpPort: lab.httpPort });
    const { directoryUrl, anchorsPem } = pebble;
    const authority = await lab.declare({ directoryUrl, anchorsPem, rootsPem: await pebble.rootPem() });
    const order = await lab.drive(await lab.request(authority, ['www.acme.test']));
    const held = (await findCertificatesBySerial(lab.ca.database.queries, order.certificate!.serial))[0]!;
    await revoke(lab, held, 'keyCompromise');
    await askRevocations(lab.deps);
    const { revocationReason } = (await findCertificate(lab.ca.database.queries, held.issuerKeySha256, held.serial))!;
    assert.equal(revocationReason, 'keyCompromise');
  });
});
