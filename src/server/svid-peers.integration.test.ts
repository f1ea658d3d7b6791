import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startEnvoy, withoutEnvoy } from '../../test/support/envoy-process.ts';
import { freePort } from '../../test/support/free-port.ts';
import { goSpiffe, type GoSpiffeDomain, makeGoSpiffeDomain, missingGoSpiffe } from '../../test/support/go-spiffe.ts';
import { makeTestAuthority } from '../../test/support/test-authority.ts';
import { connectClient } from '../cli/client.ts';
import { parseTrustDomain } from '../core/identity/trust-domain.ts';
import { Secret } from '../core/secrets/secret.ts';
import { parseBundleDocument } from '../core/spiffe/parse-bundle-document.ts';
import { buildCertificateRequest } from '../core/x509/certificate-request.ts';
import { encodePem } from '../core/x509/pem.ts';
import { systemClock } from '../platform/clock/clock.ts';
import { parseServerConfig } from '../platform/config/server-config.ts';
import { type RunningServer, startServer } from '../server.ts';

const folder = mkdtempSync(join(tmpdir(), 'countersign-svid-'));
const file = (name: string): string => join(folder, name);
const config = [
  'dataDirectory: data',
  'keyFile: kek',
  'trustDomain: acme.example',
  'listen: {admin: "127.0.0.1:0", dataPlane: "127.0.0.1:0", public: "127.0.0.1:0"}',
];
const [ORDERS, WEB] = ['spiffe://acme.example/production/orders', 'spiffe://acme.example/production/web'] as const;
const third = makeTestAuthority(Date.now(), 'Third');

describe('the SVIDs that we issue', { skip: missingGoSpiffe || withoutEnvoy }, () => {
  let server: RunningServer;
  let partner: GoSpiffeDomain;

  before(async () => {
    server = await startServer({ config: parseServerConfig(config.join('\n'), folder), clock: systemClock, log: () => {} });
    const rootPem = readFileSync(file('data/root.pem'), 'utf8');
    const clientOf = (token: string | null) =>
      connectClient({
        server: new URL(`https://127.0.0.1:${server.addresses.admin.port}`),
        rootPem,
        token: token === null ? null : new Secret(token),
      });
    const bootstrap = { token: readFileSync(server.bootstrapFile!, 'utf8').trim(), name: 'ada' };
    const client = clientOf((await clientOf(null).post<{ readonly token: string }>('/v1/bootstrap-exchange', bootstrap)).token);
    for (const [name, spiffeId] of [
      ['orders', ORDERS],
      ['web', WEB],
    ] as const) {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const csr = encodePem(
        'CERTIFICATE REQUEST',
        buildCertificateRequest({ uris: [spiffeId], dnsNames: [], ipAddresses: [] }, privateKey),
      );
      const { pem } = await client.post<{ readonly pem: string }>('/v1/certificates', { csr, profile: 'workload', spiffeId });
      writeFileSync(file(`${name}.pem`), pem);
      writeFileSync(file(`${name}.key`), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    }
    writeFileSync(file('acme.json'), await client.getText('/v1/federation/bundle'));
    partner = await makeGoSpiffeDomain(folder, 'partner.example');
    const { authorities } = parseBundleDocument(partner.bundle(), parseTrustDomain('partner.example'));
    writeFileSync(file('partner.pem'), authorities.map(({ der }) => encodePem('CERTIFICATE', der)).join(''));
    writeFileSync(file('third.pem'), encodePem('CERTIFICATE', third.root.der));
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  test('verify with go-spiffe by our bundle alone', async () => {
    const ours = `acme.example=${file('acme.json')}`;
    for (const name of ['orders', 'web'] as const) {
      const found = await goSpiffe('verify', { file: file(`${name}.pem`), bundles: `${ours},partner.example=${partner.bundleFile}` });
      assert.equal(found.kind === 'answer' && found.json.id, name === 'orders' ? ORDERS : WEB, JSON.stringify(found));
      const crossed = await goSpiffe('verify', { file: file(`${name}.pem`), bundles: `acme.example=${partner.bundleFile}` });
      assert.equal(crossed.kind, 'refused');
    }
  });

  test('serve and call at an Envoy of others, whose SPIFFE validator keeps each trust domain apart', async () => {
    const port = await freePort();
    writeFileSync(file('envoy.json'), JSON.stringify(envoyConfig(port)));
    await using envoy = startEnvoy(file('envoy.json'));
    const bundles = `acme.example=${file('acme.json')}`;
    const call = (cert: string, key: string, id: string = ORDERS) =>
      goSpiffe('client', { url: `https://127.0.0.1:${port}/`, id, bundles, cert, key });
    const ask = () => call(file('web.pem'), file('web.key'));
    let first = await ask();
    for (let turn = 0; turn < 300 && first.kind === 'refused'; turn++) {
      await pause(50);
      first = await ask();
    }
    assert.deepEqual(first, { kind: 'answer', json: { status: 200, body: 'ok' } }, envoy.said());
    assert.equal((await call(partner.workload.cert, partner.workload.key)).kind, 'answer');
    assert.equal((await call(partner.workload.cert, partner.workload.key, WEB)).kind, 'refused', 'the server is not whom it meant');
    const shown = (name: string, uris: readonly string[]) => {
      const { chain, key } = third.issue({ uris });
      writeFileSync(file(`${name}.pem`), chain.map((der) => encodePem('CERTIFICATE', der)).join(''));
      writeFileSync(file(`${name}.key`), key.export({ type: 'pkcs8', format: 'pem' }));
      return call(file(`${name}.pem`), file(`${name}.key`));
    };
    assert.equal((await shown('own', ['spiffe://third.example/w'])).kind, 'answer');
    for (const [name, uris] of [
      ['ours', [WEB]],
      ['theirs', [partner.workload.id]],
      ['nobody', ['spiffe://nobody.example/w']],
    ] as const)
      assert.equal((await shown(name, uris)).kind, 'refused', name);
  });
});

const type = (name: string) => ({ '@type': `type.googleapis.com/${name}` });

/** As somebody writes it who runs Envoy without us. */
function envoyConfig(port: number) {
  const tls = 'envoy.extensions.transport_sockets.tls.v3';
  const domains = [
    ['acme.example', file('data/root.pem')],
    ['partner.example', file('partner.pem')],
    ['third.example', file('third.pem')],
  ] as const;
  const trustDomains = domains.map(([name, filename]) => ({ name, trust_bundle: { filename } }));
  const validator = {
    name: 'envoy.tls.cert_validator.spiffe',
    typed_config: { ...type(`${tls}.SPIFFECertValidatorConfig`), trust_domains: trustDomains },
  };
  const route = { match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'ok' } } };
  const manager = {
    ...type('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'in',
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route] }] },
    http_filters: [{ name: 'router', typed_config: type('envoy.extensions.filters.http.router.v3.Router') }],
  };
  const context = {
    ...type(`${tls}.DownstreamTlsContext`),
    require_client_certificate: true,
    common_tls_context: {
      tls_certificates: [{ certificate_chain: { filename: file('orders.pem') }, private_key: { filename: file('orders.key') } }],
      validation_context: { custom_validator_config: validator },
    },
  };
  const chain = {
    filters: [{ name: 'http', typed_config: manager }],
    transport_socket: { name: 'tls', typed_config: context },
  };
  const address = { socket_address: { address: '127.0.0.1', port_value: port } };
  return { static_resources: { listeners: [{ name: 'in', address, filter_chains: [chain] }] } };
}
