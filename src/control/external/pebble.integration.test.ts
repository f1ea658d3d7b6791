import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type ExternalLab, newKey, openExternalLab } from '../../../test/support/external-lab.ts';
import { type Pebble, pebbleProgram, type PebbleOptions, startPebble } from '../../../test/support/pebble.ts';
import { AcmeFailure } from '../../platform/acme/acme-failure.ts';
import { listCertificates } from '../ca/search-certificates.ts';
import type { ExternalOrder } from './external-order.ts';
import { renewalIdOf } from './foreign-certificate.ts';
import { findForeignCertificate } from './foreign-certificate-store.ts';
import { leafOf } from './leaf-of.ts';
import { openExternalSession } from './open-session.ts';
import { findChallengeAnswer } from './order-store.ts';
import { findExternalAuthority } from './store.ts';

const skip = pebbleProgram === null && process.env['CI'] !== 'true' ? 'no Pebble here' : false;
const KEY = 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W';

type Scene = AsyncDisposable & { readonly lab: ExternalLab; readonly pebble: Pebble; readonly of: Awaited<ReturnType<typeof trustOf>> };

async function open(url: string, options: Partial<PebbleOptions> = {}): Promise<Scene> {
  const lab = await openExternalLab(url);
  const pebble = await startPebble({ dns: lab.dns.address, httpPort: lab.httpPort, ...options });
  return {
    lab,
    pebble,
    of: await trustOf(pebble),
    async [Symbol.asyncDispose]() {
      await pebble[Symbol.asyncDispose]();
      await lab[Symbol.asyncDispose]();
    },
  };
}

async function trustOf({ directoryUrl, anchorsPem, rootPem }: Pebble) {
  return { directoryUrl, anchorsPem, rootsPem: await rootPem() };
}

function failedWith(order: ExternalOrder, detail: RegExp): void {
  assert.equal(order.status, 'failed', order.detail ?? '');
  assert.match(order.detail ?? '', detail);
}

forEachDatabase('another CA, Pebble', (newUrl) => {
  test('http-01: from the request to the inventory, each step in the log, nothing left lying', { skip }, async () => {
    await using scene = await open(await newUrl());
    const { lab, of } = scene;
    const authority = await lab.declare(of);
    const asked = await lab.request(authority, ['www.acme.test', 'api.acme.test']);
    assert.equal(asked.status, 'requested');
    const order = await lab.drive(asked);
    assert.equal(order.status, 'issued', order.detail ?? '');
    const [listed, ...others] = await listCertificates(lab.ca.database.queries, {
      environments: ['production'],
      name: 'api.acme.test',
      limit: 5,
    });
    assert.deepEqual([listed?.door, listed?.status, others.length], ['external', 'issued', 0]);
    const foreign = (await findForeignCertificate(lab.ca.database.queries, order.certificate!))!;
    assert.equal(foreign.renewAt, listed!.notBefore + Math.floor(((listed!.notAfter - listed!.notBefore) * 2) / 3));
    const types = lab.ca.entries.map(({ type }) => type).filter((type) => type.startsWith('external-'));
    assert.deepEqual(types, [
      'external-authority.declared',
      'external-order.requested',
      'external-account.registered',
      'external-order.placing',
      'external-order.placed',
      'external-order.finalizing',
      'external-order.issued',
    ]);
    for (const token of lab.logged) assert.fail(JSON.stringify(token));
    assert.equal(await findChallengeAnswer(lab.ca.database.queries, 'x'.repeat(43)), null);
  });

  test('an address is ordered as one (RFC 8738), beside a name', { skip }, async () => {
    await using scene = await open(await newUrl());
    const { lab, of } = scene;
    const authority = await lab.declare({ ...of, allowedNames: ['www.acme.test', '127.0.0.1'] });
    const order = await lab.drive(await lab.request(authority, ['www.acme.test'], { ipAddresses: ['127.0.0.1'] }));
    assert.equal(order.status, 'issued', order.detail ?? '');
    const { subjectAltNames } = leafOf((await findForeignCertificate(lab.ca.database.queries, order.certificate!))!);
    assert.deepEqual([subjectAltNames.dns, subjectAltNames.ip], [['www.acme.test'], ['127.0.0.1']]);
    await assert.rejects(lab.request(authority, [], { ipAddresses: ['127.0.0.2'] }), /127\.0\.0\.2 is not among the allowed names/);
  });

  test('dns-01 by webhook: a wildcard beside its base, the records removed again', { skip }, async () => {
    await using scene = await open(await newUrl());
    const { lab, of } = scene;
    const { url, anchorsPem, token } = lab.webhook;
    const challenge = { kind: 'dns-01', webhook: { url, anchorsPem } } as const;
    const authority = await lab.declare({ ...of, challenge, profile: 'shortlived' }, { webhookToken: token });
    const order = await lab.drive(await lab.request(authority, ['*.acme.test', 'acme.test']));
    assert.equal(order.status, 'issued', order.detail ?? '');
    assert.deepEqual(lab.webhook.calls.map(({ action }) => action).toSorted(), ['present', 'present', 'remove', 'remove']);
    assert.deepEqual(lab.dns.records.get('_acme-challenge.acme.test'), []);
    const { notBefore, notAfter } = leafOf((await findForeignCertificate(lab.ca.database.queries, order.certificate!))!);
    assert.ok(notAfter - notBefore < 7 * 86_400_000, 'the profile was asked for');
  });

  test('a binding that is missing or wrong makes no account; the right one does', { skip }, async () => {
    await using scene = await open(await newUrl(), { bindings: { 'kid-1': KEY } });
    const { lab, of } = scene;
    failedWith(await lab.drive(await lab.request(await lab.declare(of), ['www.acme.test'])), /^externalAccountRequired/);
    const wrong = await lab.declare({ ...of, bindingKeyId: 'kid-1' }, { bindingKey: 'A'.repeat(43) });
    failedWith(await lab.drive(await lab.request(wrong, ['www.acme.test'])), /unauthorized|malformed/);
    const unknown = await lab.declare({ ...of, bindingKeyId: 'kid-2' }, { bindingKey: KEY });
    failedWith(await lab.drive(await lab.request(unknown, ['www.acme.test'])), /unauthorized|malformed/);
    const right = await lab.declare({ ...of, bindingKeyId: 'kid-1' }, { bindingKey: KEY });
    const order = await lab.drive(await lab.request(right, ['www.acme.test']));
    assert.equal(order.status, 'issued', order.detail ?? '');
    assert.ok(!JSON.stringify(lab.ca.entries).includes(KEY), 'no secret in the log');
  });

  test('a storm of refused nonces is stood', { skip }, async () => {
    await using scene = await open(await newUrl(), { refusedNonces: 50 });
    const { lab, of } = scene;
    const authority = await lab.declare(of);
    let order = await lab.drive(await lab.request(authority, ['www.acme.test']));
    // Eight refusals in a row do come about: then it is deferred, and goes on where it was.
    for (let tries = 0; order.status !== 'issued' && order.status !== 'failed' && tries < 20; tries++) {
      lab.advance(order.dueAt - lab.clock.now());
      order = await lab.drive(order);
    }
    assert.equal(order.status, 'issued', order.detail ?? '');
  });

  test('a name that cannot be proved fails the order with the CA’s reason', { skip }, async () => {
    await using scene = await open(await newUrl());
    const { lab, of } = scene;
    const authority = await lab.declare(of);
    failedWith(await lab.drive(await lab.request(authority, ['nobody.acme.test'])), /authorizationFailed: nobody\.acme\.test is invalid: /);
    assert.equal(lab.ca.entriesOf('external-order.failed').length, 1);
    assert.equal((await listCertificates(lab.ca.database.queries, { environments: '*', door: 'external', limit: 5 })).length, 0);
  });

  test('a CA that is away defers the order, ever longer; one that lost its memory gets a new account', { skip }, async () => {
    await using scene = await open(await newUrl());
    const { lab, pebble, of } = scene;
    const authority = await lab.declare(of);
    await lab.drive(await lab.request(authority, ['api.acme.test']));
    await pebble.stop();
    let order = await lab.request(authority, ['www.acme.test']);
    const pauses: number[] = [];
    for (let tries = 0; tries < 3; tries++) {
      order = await lab.drive(order);
      assert.deepEqual([order.status, order.attempts], ['placing', tries + 1].with(0, order.status));
      assert.match(order.detail ?? '', /^connection: /);
      pauses.push(order.dueAt - lab.clock.now());
      assert.deepEqual(await lab.drive(order), order, 'not before its time');
      lab.advance(order.dueAt - lab.clock.now());
    }
    assert.ok(pauses[2]! > pauses[0]! * 2, String(pauses));
    await pebble.start();
    await lab.declare({ ...of, rootsPem: await pebble.rootPem() });
    order = await lab.drive(order);
    for (let tries = 0; order.status !== 'issued' && tries < 3; tries++) {
      lab.advance(order.dueAt - lab.clock.now());
      order = await lab.drive(order);
    }
    assert.equal(order.status, 'issued', order.detail ?? '');
    assert.equal(lab.ca.entriesOf('external-account.registered').length, 2);
  });

  test('a chain to an unknown root, or by a CA that is not the declared one, is refused', { skip }, async () => {
    await using scene = await open(await newUrl());
    const { lab, pebble, of } = scene;
    const strange = await lab.declare({ ...of, rootsPem: of.anchorsPem });
    failedWith(await lab.drive(await lab.request(strange, ['www.acme.test'])), /certificateRefused: the chain is not valid/);
    const carried = await lab.declare({ ...of, rootsPem: null });
    failedWith(await lab.drive(await lab.request(carried, ['www.acme.test'])), /certificateRefused: the chain is not valid/);
    const other = await lab.declare({ ...of, anchorsPem: await pebble.rootPem() });
    const order = await lab.drive(await lab.request(other, ['www.acme.test']));
    assert.match(order.detail ?? '', /^connection: .*(CERT|SELF_SIGNED|UNABLE)/, 'the server is not verified by another root');
    assert.equal((await listCertificates(lab.ca.database.queries, { environments: '*', door: 'external', limit: 5 })).length, 0);
  });

  test('a certificate is replaced once at the CA, and its second successor comes without', { skip }, async () => {
    await using scene = await open(await newUrl());
    const { lab, of } = scene;
    const authority = await lab.declare(of);
    const key = newKey();
    const first = await lab.drive(await lab.request(authority, ['www.acme.test'], { key }));
    const { queries } = lab.ca.database;
    const renews = (await findForeignCertificate(queries, first.certificate!))!;
    const second = await lab.drive(await lab.request(authority, ['www.acme.test'], { key, renews }));
    assert.equal(second.status, 'issued', second.detail ?? '');
    assert.equal((await findForeignCertificate(queries, renews))!.finding, 'superseded');
    await assert.rejects(lab.request(authority, ['www.acme.test'], { renews }), /renewed already/);
    const { session } = await openExternalSession(lab.deps, (await findExternalAuthority(queries, 'production', 'pebble'))!);
    const again = { identifiers: [{ type: 'dns', value: 'www.acme.test' }], replaces: renewalIdOf(leafOf(renews)) };
    await assert.rejects(
      session.order(again),
      (error) => error instanceof AcmeFailure && error.type === 'alreadyReplaced',
      'it was said at the CA',
    );
  });
});
