import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { EnvoyBench } from '../../../test/support/envoy-bench.ts';
import { missingEnvoy } from '../../../test/support/envoy-lab.ts';
import { callOverTls, clientOptions, inboundTo, loopback, STOREFRONT } from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority, type TestCredential } from '../../../test/support/test-authority.ts';
import { parseSpiffeId } from '../identity/spiffe-id.ts';
import { Mode } from '../messages/generated/countersign/v1/settings_pb.ts';

const PARTNER = 'partner.example';
const SHOP = parseSpiffeId(`spiffe://${PARTNER}/shop`);
const [partner, stranger] = ['Partner', 'Stranger'].map((name) => makeTestAuthority(Date.now(), name)) as [
  ReturnType<typeof makeTestAuthority>,
  ReturnType<typeof makeTestAuthority>,
];
const OK = /^HTTP\/1\.1 200 /;

describe('callers of another trust domain on Envoy', { skip: missingEnvoy() }, () => {
  let bench: EnvoyBench;
  before(async () => {
    bench = await EnvoyBench.start(['--drain-time-s', '1', '--drain-strategy', 'immediate']);
  });
  after(() => bench[Symbol.asyncDispose]());

  const callers = [STOREFRONT, SHOP].map((spiffeId, index) => ({ pathId: `path_${index}`, spiffeId, mode: Mode.ENFORCE }));
  const apply = (): Promise<void> =>
    bench.apply({ inbound: [inboundTo(bench.origin.port, 'enforce', { callers, listen: loopback(bench.port) })] });
  const call = async (credential: TestCredential): Promise<string> => (await callOverTls(bench.port, clientOptions(credential))).text;

  it('come by the bundle of their own domain, and ours by ours', async () => {
    bench.federated = [bench.lab.foreignBundle(PARTNER, partner)];
    await apply();
    assert.match(await call(partner.issue({ uris: [SHOP] })), OK);
    assert.match(await call(bench.lab.authority.issue({ uris: [STOREFRONT] })), OK);
  });

  it('are refused with one domain’s name under the authority of the other, and with names that nobody allowed', async () => {
    bench.federated = [bench.lab.foreignBundle(PARTNER, partner)];
    await apply();
    const before = bench.origin.requests.length;
    for (const credential of [
      bench.lab.authority.issue({ uris: [SHOP] }),
      partner.issue({ uris: [STOREFRONT] }),
      stranger.issue({ uris: [SHOP] }),
      partner.issue({ uris: [`spiffe://${PARTNER}/other`] }),
      partner.issue({ uris: ['spiffe://third.example/shop'] }),
    ])
      assert.equal(await call(credential), '');
    assert.equal(bench.origin.requests.length, before);
  });

  it('have no open connection left whose authority their domain has no longer', async () => {
    bench.federated = [bench.lab.foreignBundle(PARTNER, partner)];
    await apply();
    const open = connectTls({
      host: '127.0.0.1',
      port: bench.port,
      rejectUnauthorized: false,
      ...clientOptions(partner.issue({ uris: [SHOP] })),
    });
    open.on('error', () => {});
    const closed = once(open, 'close');
    open.write('GET / HTTP/1.1\r\nHost: orders\r\n\r\n');
    const [answer] = (await once(open, 'data')) as [Buffer];
    assert.match(String(answer), OK);
    bench.federated = [bench.lab.foreignBundle(PARTNER, stranger)];
    await apply();
    await closed;
  });

  it('are refused once their domain has no authority any more, under ours too, and ours come on', async () => {
    bench.federated = [];
    await apply();
    for (const credential of [partner.issue({ uris: [SHOP] }), bench.lab.authority.issue({ uris: [SHOP] })])
      assert.equal(await call(credential), '');
    assert.match(await call(bench.lab.authority.issue({ uris: [STOREFRONT] })), OK);
  });
});
