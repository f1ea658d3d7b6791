import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { goSpiffe, type GoSpiffeDomain, makeGoSpiffeDomain, missingGoSpiffe, serveGoSpiffe } from '../../../test/support/go-spiffe.ts';
import {
  chainPemOf,
  inboundTo,
  ORDERS,
  outboundTo,
  ProxyLab,
  STOREFRONT,
  STRANGER,
  TRUST_DOMAIN,
} from '../../../test/support/proxy-lab.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { parseTrustDomain } from '../../core/identity/trust-domain.ts';
import { BundleAuthority_Role, Mode, Origination, type TrustBundle } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { encodeBundleDocument } from '../../core/spiffe/bundle-document.ts';
import { parseBundleDocument } from '../../core/spiffe/parse-bundle-document.ts';

const PARTNER = 'partner.example';
const folder = mkdtempSync(join(tmpdir(), 'countersign-go-spiffe-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Our bundle as we publish it, in a file. */
function publish(lab: ProxyLab): string {
  const file = join(folder, 'acme.json');
  writeFileSync(file, encodeBundleDocument({ sequence: 1, refreshHintMs: 60_000, authorities: [lab.authority.root.der] }));
  return file;
}

describe('go-spiffe at the other end', { skip: missingGoSpiffe }, () => {
  let partner: GoSpiffeDomain;
  before(async () => {
    partner = await makeGoSpiffeDomain(folder, PARTNER);
  });

  const theirBundle = (lab: ProxyLab): TrustBundle => {
    const { authorities } = parseBundleDocument(partner.bundle(), parseTrustDomain(PARTNER));
    const roots = authorities.map(({ der }) => ({ role: BundleAuthority_Role.ROOT, certificate: der }));
    return { ...lab.foreignBundle(PARTNER), authorities: roots.map((root) => ({ $typeName: 'countersign.v1.BundleAuthority', ...root })) };
  };

  test('verifies our SVIDs by our bundle, and by no other', async () => {
    await using lab = new ProxyLab();
    const ours = publish(lab);
    const chainOf = (name: string, uris: readonly string[]): string => {
      const file = join(folder, `${name}.pem`);
      writeFileSync(file, chainPemOf(lab.authority.issue({ uris })));
      return file;
    };
    const good = await goSpiffe('verify', {
      file: chainOf('good', [ORDERS]),
      bundles: `${TRUST_DOMAIN}=${ours},${PARTNER}=${partner.bundleFile}`,
    });
    assert.deepEqual(good, { kind: 'answer', json: { id: ORDERS, chains: 1 } });
    for (const [uris, bundles] of [
      [[ORDERS], `${TRUST_DOMAIN}=${partner.bundleFile}`],
      [[ORDERS], `${PARTNER}=${ours}`],
      [[partner.workload.id], `${TRUST_DOMAIN}=${ours},${PARTNER}=${partner.bundleFile}`],
      [[ORDERS, STRANGER], `${TRUST_DOMAIN}=${ours}`],
    ] as const) {
      assert.equal((await goSpiffe('verify', { file: chainOf('bad', uris), bundles })).kind, 'refused', JSON.stringify(uris));
    }
  });

  test('calls an endpoint of ours as a caller of its own domain, and is refused once its bundle is taken back', async () => {
    await using lab = new ProxyLab();
    const origin = await lab.origin();
    const callers = [{ pathId: 'path_1', spiffeId: partner.workload.id, mode: Mode.ENFORCE }];
    await lab.proxy.applyTrustBundle(lab.bundle());
    await lab.proxy.applyFederatedBundles([theirBundle(lab)]);
    assert.deepEqual(await lab.apply({ federated: [PARTNER], inbound: [inboundTo(origin.port, 'enforce', { callers })] }), {
      kind: 'accepted',
    });
    const { cert, key, id } = partner.workload;
    const asking = { url: `https://127.0.0.1:${lab.portOf(0)}/`, bundles: `${TRUST_DOMAIN}=${publish(lab)}`, cert, key };
    const good = await goSpiffe('client', { ...asking, id: ORDERS });
    assert.equal(good.kind === 'answer' && good.json.status, 200, JSON.stringify(good));
    assert.match(good.kind === 'answer' ? good.json.body : '', new RegExp(`URI=${id}`));
    // It does not call whom it did not mean.
    assert.equal((await goSpiffe('client', { ...asking, id: STRANGER })).kind, 'refused');
    const { requests } = origin;
    const before = requests.length;
    // Another workload of the same domain is not allowed.
    const endpoint = { cert: partner.endpoint.cert, key: partner.endpoint.key };
    assert.equal((await goSpiffe('client', { ...asking, ...endpoint, id: ORDERS })).kind, 'refused');
    lab.revoke({ suspended: [parseSpiffeId(id)] });
    assert.equal((await goSpiffe('client', { ...asking, id: ORDERS })).kind, 'refused');
    lab.revoke({});
    await lab.proxy.applyFederatedBundles([]);
    assert.equal((await goSpiffe('client', { ...asking, id: ORDERS })).kind, 'refused');
    assert.equal(requests.length, before);
    assert.deepEqual(
      lab
        .refusals()
        .map(({ reason }) => reason)
        // What go-spiffe itself broke off.
        .filter((reason) => reason !== 'tls-malformed'),
      ['wrong-identity', 'suspended', 'unknown-authority'],
    );
  });

  test('is called as a server of its own domain, and hears who calls', async () => {
    await using lab = new ProxyLab(STOREFRONT);
    const { cert, key, id } = partner.workload;
    await using server = await serveGoSpiffe('server', { cert, key, id: STOREFRONT, bundles: `${TRUST_DOMAIN}=${publish(lab)}` });
    await lab.proxy.applyTrustBundle(lab.bundle());
    await lab.proxy.applyFederatedBundles([theirBundle(lab)]);
    const apply = (serverSpiffeId: string) =>
      lab.apply({
        spiffeId: STOREFRONT,
        federated: [PARTNER],
        outbound: [outboundTo([server.port], Origination.MTLS, { serverSpiffeId })],
      });
    await apply(id);
    assert.deepEqual(await ask(lab.portOf(0)), { status: 200, body: `hello ${STOREFRONT}` });
    await apply(partner.endpoint.id);
    assert.equal((await ask(lab.portOf(0))).status, 502);
  });
});

async function ask(port: number): Promise<{ readonly status: number; readonly body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<import('node:http').IncomingMessage>();
  httpRequest({ host: '127.0.0.1', port, agent: false }, resolve).on('error', reject).end();
  const answer = await promise;
  return { status: answer.statusCode!, body: await text(answer) };
}
