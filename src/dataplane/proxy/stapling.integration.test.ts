import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect } from 'node:tls';
import { create } from '@bufbuild/protobuf';
import { OcspStapleSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { HOUR_MS, MINUTE_MS } from '../../core/time/instant.ts';
import { ManualClock } from '../../platform/clock/clock.ts';
import { hasOpenssl } from '../../../test/support/openssl.ts';
import { identityOf, inboundTo, ORDERS, ProxyLab } from '../../../test/support/proxy-lab.ts';
import { sClient } from '../../../test/support/s-client.ts';
import type { TestAnswer } from '../../../test/support/test-authority.ts';

const skip = (await hasOpenssl()) ? false : 'openssl is missing';
const folder = await mkdtemp(join(tmpdir(), 'countersign-staple-'));
after(() => rm(folder, { recursive: true }));

/** A proxy whose port takes TLS without a certificate, and the files of a client that verifies it. */
async function open(clock = new ManualClock(Date.now())) {
  const lab = new ProxyLab(ORDERS, undefined, clock);
  const origin = await lab.origin();
  await lab.apply({ inbound: [inboundTo(origin.port, 'permissive')] });
  const caFile = join(folder, `${lab.credential.certificate.serialHex}.pem`);
  await writeFile(caFile, encodePem('CERTIFICATE', lab.authority.root.der));
  const staple = (answer?: TestAnswer, certificate = lab.credential.certificate) =>
    lab.proxy.applyStaple(create(OcspStapleSchema, { response: lab.authority.answerAbout(certificate, answer) }));
  const status = (...args: string[]) => sClient(lab.portOf(0), ['-status', '-CAfile', caFile, ...args]);
  return { lab, clock, staple, status };
}

const GOOD = /OCSP Response Status: successful[^]*Cert Status: good/;
const NONE = /OCSP response: no response sent/;

for (const version of ['-tls1_2', '-tls1_3']) {
  test(
    `openssl gets the staple at the handshake that shows the certificate, and a resumed session needs none (${version})`,
    { skip },
    async () => {
      const { lab, staple, status } = await open();
      await using _ = lab;
      assert.match(await status(version), NONE);
      assert.deepEqual(await staple(), { kind: 'accepted' });
      const session = join(folder, `session${version}`);
      const full = await status(version, '-sess_out', session);
      assert.match(full, GOOD);
      assert.match(full, /Verify return code: 0 \(ok\)[^]*HTTP\/1\.1 200/);
      const resumed = await status(version, '-sess_in', session);
      assert.match(resumed, /Reused, TLSv1/);
      assert.match(resumed, /HTTP\/1\.1 200/);
      assert.doesNotMatch(resumed, /OCSP Response Status/);
    },
  );
}

test('who asks for no status gets none, at the terminator that never has one', { skip }, async () => {
  const { lab, staple } = await open();
  await using _ = lab;
  await staple();
  const text = await sClient(lab.portOf(0), ['-tlsextdebug']);
  assert.match(text, /HTTP\/1\.1 200/);
  assert.doesNotMatch(text, /status request|OCSP/);
});

test('after a renewal the old staple is not shown, and that of the new certificate is', { skip }, async () => {
  const { lab, staple, status } = await open();
  await using _ = lab;
  await staple();
  const renewed = lab.authority.issue({ uris: [ORDERS] });
  await lab.proxy.applyIdentity(identityOf(ORDERS, renewed, lab.authority));
  assert.match(await status(), NONE);
  assert.equal((await staple()).kind, 'refused', 'of the old certificate');
  assert.match(await status(), NONE);
  assert.deepEqual(await staple({}, renewed.certificate), { kind: 'accepted' });
  assert.match(await status(), GOOD);
});

test(
  'a staple that has ended is not shown, one that says revoked is not taken, and a revocation ends what is shown',
  { skip },
  async () => {
    const { lab, clock, staple, status } = await open();
    await using _ = lab;
    assert.equal((await staple({ status: { kind: 'revoked', at: clock.now(), reason: 'superseded' } })).kind, 'refused');
    assert.match(await status(), NONE);
    assert.ok(lab.log.some(({ event, fields }) => event === 'change refused' && /it says revoked/.test(String(fields['error']))));
    await staple();
    clock.advance(56 * MINUTE_MS);
    assert.match(await status(), NONE);
    await staple({ nextUpdate: clock.now() + 2 * HOUR_MS });
    assert.match(await status(), GOOD);
    lab.revoke({ credentials: [lab.credential] });
    assert.match(await status(), NONE);
  },
);

test('Node as a client gets it too, octet for octet', async () => {
  const { lab, staple } = await open();
  await using _ = lab;
  await staple();
  const socket = connect({ host: '127.0.0.1', port: lab.portOf(0), requestOCSP: true, rejectUnauthorized: false });
  const response = await new Promise<Buffer>((resolve) => socket.once('OCSPResponse', resolve));
  socket.destroy();
  assert.ok(response.includes(lab.credential.certificate.serial));
});
