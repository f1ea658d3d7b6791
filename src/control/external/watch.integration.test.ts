import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type ExternalLab, openExternalLab } from '../../../test/support/external-lab.ts';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { pebbleProgram, startPebble } from '../../../test/support/pebble.ts';
import { DAY_MS, HOUR_MS } from '../../core/time/instant.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { ada, place, trustDomain } from '../../../test/support/authorities.ts';
import { openTlsEndpoint, pemOf } from '../../../test/support/endpoints.ts';
import { applyDeclaration } from '../inventory/apply-declaration.ts';
import { deleteRecord } from '../inventory/change-store.ts';
import { parseDeclaration } from '../inventory/parse-declaration.ts';
import { listEndpoints } from '../inventory/store.ts';
import { askServed } from './ask-served.ts';
import { findForeignCertificate } from './foreign-certificate-store.ts';
import { importCertificate } from './import-certificate.ts';
import { OrderDriver } from './order-driver.ts';
import { renewCertificates } from './renew-certificates.ts';
import { watchCertificates } from './watch-certificates.ts';

const skip = pebbleProgram === null && process.env['CI'] !== 'true' ? 'no Pebble here' : false;

const at = (port: number): string => `127.0.0.1:${port}`;

async function orderOf(lab: ExternalLab, order: `order_${string}`) {
  await using driver = new OrderDriver(lab.deps);
  await driver.run();
  await driver.settled();
  return lab.find(order);
}

forEachDatabase('certificates of other CAs, renewed and watched', (newUrl) => {
  test('the window of the CA decides, one successor is ordered, which replaces it there and here', { skip }, async () => {
    await using lab = await openExternalLab(await newUrl());
    await using pebble = await startPebble({ dns: lab.dns.address, httpPort: lab.httpPort });
    const { directoryUrl, anchorsPem } = pebble;
    const { queries } = lab.ca.database;
    const authority = await lab.declare({ directoryUrl, anchorsPem, rootsPem: await pebble.rootPem() });
    const first = await orderOf(lab, (await lab.request(authority, ['www.acme.test'])).id);
    assert.equal(first.status, 'issued', first.detail ?? '');
    assert.equal(await watchCertificates(lab.deps), 1);
    const held = (await findForeignCertificate(queries, first.certificate!))!;
    assert.ok(held.renewAt > lab.clock.now() + DAY_MS && held.checkAt > lab.clock.now() + 30 * 60_000, 'a window far ahead');
    assert.equal(await renewCertificates(lab.deps, lab.clock.now()), 0);
    await pebble.setRenewalWindow(held.chain, new Date(Date.now() - 2 * HOUR_MS), new Date(Date.now() - HOUR_MS));
    lab.advance(2 * HOUR_MS);
    assert.equal(await watchCertificates(lab.deps), 1);
    const early = (await findForeignCertificate(queries, held))!;
    assert.deepEqual([early.renewAt, early.renewalInfoAt], [held.renewAt, held.renewalInfoAt], 'the CA asked for six hours');
    assert.ok(early.checkAt > held.checkAt && early.checkAt <= lab.clock.now() + HOUR_MS, 'everything else goes on');
    lab.advance(5 * HOUR_MS);
    await watchCertificates(lab.deps);
    assert.ok((await findForeignCertificate(queries, held))!.renewAt < lab.clock.now(), 'the CA wants it renewed now');
    const rounds = await Promise.all([renewCertificates(lab.deps, lab.clock.now()), renewCertificates(lab.deps, lab.clock.now())]);
    assert.equal(rounds[0] + rounds[1], 1, 'two servers place one order');
    const { renewal } = (await findForeignCertificate(queries, held))!;
    const second = await orderOf(lab, renewal!);
    assert.equal(second.status, 'issued', second.detail ?? '');
    assert.ok(second.replaces !== null);
    assert.deepEqual(second.csr, first.csr, 'the same key');
    assert.equal((await findForeignCertificate(queries, held))!.finding, 'superseded');
    assert.equal(await renewCertificates(lab.deps, lab.clock.now()), 0);
  });

  test(
    'a CA without an answer leaves two thirds of the life; a renewal that fails is tried again, and the certificate told of',
    { skip },
    async () => {
      await using lab = await openExternalLab(await newUrl());
      await using pebble = await startPebble({ dns: lab.dns.address, httpPort: lab.httpPort });
      const { directoryUrl, anchorsPem } = pebble;
      const { queries } = lab.ca.database;
      const authority = await lab.declare({ directoryUrl, anchorsPem, rootsPem: await pebble.rootPem() });
      const first = await orderOf(lab, (await lab.request(authority, ['www.acme.test'])).id);
      const issued = (await findForeignCertificate(queries, first.certificate!))!;
      await pebble.stop();
      lab.advance(issued.renewAt - lab.clock.now() - HOUR_MS);
      await watchCertificates(lab.deps);
      assert.equal(await renewCertificates(lab.deps, lab.clock.now()), 0, 'not before two thirds');
      lab.advance(2 * HOUR_MS);
      // The declaration changed since: policy is asked anew.
      await lab.declare({
        directoryUrl,
        anchorsPem,
        rootsPem: await pebble.rootPem().catch(() => authority.settings.rootsPem),
        allowedNames: ['api.acme.test'],
      });
      assert.equal(await renewCertificates(lab.deps, lab.clock.now()), 0);
      assert.match(JSON.stringify(lab.ca.entriesOf('external-order.refused').at(-1)!.data), /not among the allowed names/);
      const later = (await findForeignCertificate(queries, issued))!;
      assert.ok(later.renewAt >= lab.clock.now() + HOUR_MS && later.renewal === null);
      lab.advance(issued.notAfter - lab.clock.now() - DAY_MS);
      await watchCertificates(lab.deps);
      assert.equal((await findForeignCertificate(queries, issued))!.finding, 'expiring');
      lab.advance(2 * DAY_MS);
      await watchCertificates(lab.deps);
      assert.equal((await findForeignCertificate(queries, issued))!.finding, 'expired');
      assert.deepEqual(
        lab.ca.entriesOf('external-certificate.found').map(({ data }) => data['finding']),
        ['expiring', 'expired'],
      );
    },
  );

  test('an import is held against its roots, and what is ours, twice there or beside a key is refused', async () => {
    await using lab = await openExternalLab(await newUrl());
    const stranger = makeTestAuthority(lab.clock.now(), 'Partner');
    const { chain, key, certificate } = stranger.issue({ dnsNames: ['api.partner.test'], usages: ['server'] });
    const chainPem = chain.map((der) => encodePem('CERTIFICATE', der)).join('');
    const rootsPem = encodePem('CERTIFICATE', stranger.root.der);
    const bring = (change: { readonly chainPem?: string; readonly rootsPem?: string | null }) =>
      importCertificate(lab.deps, { ...place, chainPem, rootsPem, endpointId: null, ...change }, ada, lab.clock.now());
    const [own] = lab.ca.authorities.roots;
    const ownLeaf = encodePem('CERTIFICATE', lab.ca.authorities.issuing[0]!.certificate.der);
    const cases: readonly (readonly [string, Parameters<typeof bring>[0], RegExp])[] = [
      ['nothing', { chainPem: '' }, /0 certificates/],
      ['a key', { chainPem: chainPem + key.export({ type: 'pkcs8', format: 'pem' }).toString() }, /private key/],
      ['no root', { rootsPem: null }, /not valid/],
      ['another root', { rootsPem: encodePem('CERTIFICATE', own!.der) }, /not valid/],
      ['an authority', { chainPem: ownLeaf, rootsPem: encodePem('CERTIFICATE', own!.der) }, /not valid|of ours/],
      ['the root itself', { chainPem: rootsPem }, /not valid|own anchor/],
    ];
    for (const [name, change, expected] of cases) await assert.rejects(bring(change), expected, name);
    const made = await bring({});
    assert.equal(made.serialHex, certificate.serialHex);
    await assert.rejects(bring({}), /already/);
    // What a third party gave us to call it with is watched too.
    const client = stranger.issue({ dnsNames: ['acme.test'], usages: ['client'] });
    const clientPem = client.chain.map((der) => encodePem('CERTIFICATE', der)).join('');
    assert.equal((await bring({ chainPem: clientPem })).serialHex, client.certificate.serialHex);
    await watchCertificates(lab.deps);
    assert.equal((await findForeignCertificate(lab.ca.database.queries, made))!.finding, 'none');
    lab.advance(20 * HOUR_MS);
    await watchCertificates(lab.deps);
    assert.equal((await findForeignCertificate(lab.ca.database.queries, made))!.finding, 'expiring', 'the last third of a day');
  });

  test('a certificate is looked for at its endpoint of the inventory, wherever that lies now', async () => {
    await using lab = await openExternalLab(await newUrl());
    const { queries } = lab.ca.database;
    const partner = makeTestAuthority(lab.clock.now(), 'Partner');
    const [first, second] = [1, 2].map(() => partner.issue({ dnsNames: ['api.partner.test'], usages: ['server'] })) as [
      ReturnType<typeof partner.issue>,
      ReturnType<typeof partner.issue>,
    ];
    await using old = await openTlsEndpoint(pemOf(first));
    await using renewed = await openTlsEndpoint(pemOf(second));
    const head = 'apiVersion: countersign/v1\n';
    const declare = (addresses: readonly number[]) =>
      applyDeclaration(
        { database: lab.ca.database, place: { ...place, trustDomain }, changed: lab.deps.changed },
        parseDeclaration(
          `${head}kind: Service\nname: web\nowner: web\n---\n${head}kind: Endpoint\nname: web-api\nservice: web\nprotocol: http\n` +
            `addresses: ${JSON.stringify(addresses.map(at))}\nowner: web\n`,
        ),
        ada,
        lab.clock.now(),
      );
    await declare([renewed.address.port, old.address.port]);
    const [endpoint] = await listEndpoints(queries, ['production']);
    const chainPem = second.chain.map((der) => encodePem('CERTIFICATE', der)).join('');
    const rootsPem = encodePem('CERTIFICATE', partner.root.der);
    const held = await importCertificate(lab.deps, { ...place, chainPem, rootsPem, endpointId: endpoint!.id }, ada, lab.clock.now());
    const look = async (): Promise<string> => {
      lab.advance(HOUR_MS);
      await watchCertificates(lab.deps);
      const { finding, findingDetail } = (await findForeignCertificate(queries, held))!;
      return `${finding} ${findingDetail}`;
    };
    assert.equal(
      await look(),
      `not-served ${at(old.address.port)} shows another certificate`,
      'one address of two still shows the old one',
    );
    await declare([renewed.address.port]);
    assert.equal(await look(), 'none null');
    await renewed[Symbol.asyncDispose]();
    assert.match(await look(), /^unreachable /);
    await lab.ca.database.commit(({ queries: writing }) => deleteRecord(writing, 'endpoints', endpoint!.id));
    assert.equal(await look(), 'none null', 'an endpoint that is gone is asked no more');
  });

  test('a TLS server that shows another certificate is found out, and one that is not there is told apart', async () => {
    await using lab = await openExternalLab(await newUrl());
    const stranger = makeTestAuthority(lab.clock.now(), 'Served');
    const [shown, other] = [1, 2].map(() => stranger.issue({ dnsNames: ['api.partner.test'], usages: ['server'] })) as [
      ReturnType<typeof stranger.issue>,
      ReturnType<typeof stranger.issue>,
    ];
    const cert = shown.chain.map((der) => encodePem('CERTIFICATE', der)).join('');
    const server = createTlsServer({ key: shown.key.export({ type: 'pkcs8', format: 'pem' }), cert });
    const plain = createServer((socket) => socket.end('no TLS here'));
    const ports: number[] = [];
    for (const one of [server, plain]) {
      one.listen(0, '127.0.0.1');
      await once(one, 'listening');
      ports.push((one.address() as AddressInfo).port);
    }
    try {
      assert.equal((await askServed(lab.deps, shown.certificate, [at(ports[0]!)])).kind, 'served');
      assert.equal((await askServed(lab.deps, other.certificate, [at(ports[0]!)])).kind, 'other');
      assert.equal((await askServed(lab.deps, shown.certificate, [at(ports[0]!), at(ports[1]!)])).kind, 'unreachable', 'plain HTTP');
      assert.equal((await askServed(lab.deps, shown.certificate, ['192.0.2.1:443'])).kind, 'unreachable', 'outside of what is allowed');
    } finally {
      server.close();
      plain.close();
    }
  });
});
