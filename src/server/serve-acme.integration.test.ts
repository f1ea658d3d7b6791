import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeAcmeClient } from '../../test/support/acme-client.ts';
import { challengeOf, settled } from '../../test/support/acme-flow.ts';
import { systemClock } from '../platform/clock/clock.ts';
import { parseServerConfig } from '../platform/config/server-config.ts';
import type { Log } from '../platform/log/logger.ts';
import { startServer } from '../server.ts';

const quiet: Log = () => undefined;
const scratch = mkdtempSync(join(tmpdir(), 'countersign-serve-acme-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** The configuration of a control plane with ACME, and the lines given. */
function configOf(folder: string, port: number) {
  return parseServerConfig(
    [
      'dataDirectory: data',
      'keyFile: kek',
      'trustDomain: acme.example',
      'listen: {admin: "127.0.0.1:0", dataPlane: "127.0.0.1:0", public: "127.0.0.1:0", acme: "127.0.0.1:0"}',
      `acme: {validation: {allow: ["127.0.0.0/8:${port}"], httpPort: ${port}}}`,
    ].join('\n'),
    folder,
  );
}

test('a control plane serves ACME under its own certificate, and its accounts and orders live through a restart', async () => {
  const folder = mkdtempSync(join(scratch, 's-'));
  const answers = new Map<string, string>();
  const web = createServer((request, response) => void response.end(answers.get(request.url!) ?? '')).listen(0, '127.0.0.1');
  await once(web, 'listening');
  const config = configOf(folder, (web.address() as AddressInfo).port);
  const first = await startServer({ config, clock: systemClock, log: quiet });
  const root = join(folder, 'data/root.pem');
  const baseOf = ({ addresses }: typeof first): string => `https://127.0.0.1:${addresses.acme!.port}`;
  const client = await makeAcmeClient(baseOf(first), root);
  await client.register();
  const order = await client.order(['web.localhost']);
  const { json } = await client.post(order.json.authorizations[0], null);
  const challenge = challengeOf(json, 'http-01');
  answers.set(`/.well-known/acme-challenge/${challenge.token}`, `${challenge.token}.${client.thumbprint()}`);
  await client.post(challenge.url, {});
  assert.equal((await settled(client, order.json.authorizations[0])).status, 'valid');
  await first[Symbol.asyncDispose]();
  await using second = await startServer({ config, clock: systemClock, log: quiet });
  const base = baseOf(second);
  const again = await makeAcmeClient(base, root, client.key());
  assert.equal((await again.register({ onlyReturnExisting: true })).status, 200);
  const done = await again.post(`${base}${new URL(order.json.finalize).pathname}`, { csr: again.csr({ dnsNames: ['web.localhost'] }) });
  assert.equal(done.json.status, 'valid', done.text);
  assert.match((await again.post(done.json.certificate, null)).text, /^-----BEGIN CERTIFICATE-----/);
  assert.equal(readFileSync(root, 'utf8').includes('BEGIN CERTIFICATE'), true);
  web.close();
});

test('where listen.acme is absent nothing is served, and no validation reaches a listener of our own', async () => {
  const folder = mkdtempSync(join(scratch, 's-'));
  const lines = ['dataDirectory: data', 'keyFile: kek', 'trustDomain: acme.example'];
  const listen = 'listen: {admin: "127.0.0.1:0", dataPlane: "127.0.0.1:0", public: "127.0.0.1:0"}';
  await using plain = await startServer({
    config: parseServerConfig([...lines, listen].join('\n'), folder),
    clock: systemClock,
    log: quiet,
  });
  assert.equal(plain.addresses.acme, null);
  const other = mkdtempSync(join(scratch, 's-'));
  const config = configOf(other, 80);
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  // The public listener stands exactly where http-01 is asked.
  const open = { ...configOf(other, port), listen: { ...config.listen, public: { host: '127.0.0.1', port } } };
  await using server = await startServer({ config: open, clock: systemClock, log: quiet });
  const client = await makeAcmeClient(`https://127.0.0.1:${server.addresses.acme!.port}`, join(other, 'data/root.pem'));
  await client.register();
  const order = await client.order(['own.localhost']);
  const { json } = await client.post(order.json.authorizations[0], null);
  await client.post(challengeOf(json, 'http-01').url, {});
  const { status, challenges } = await settled(client, order.json.authorizations[0]);
  assert.equal(status, 'invalid');
  assert.match(challenges[0].error.detail, /no address of own\.localhost may be connected to/);
});
