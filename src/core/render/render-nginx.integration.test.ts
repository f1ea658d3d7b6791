import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePort } from '../../../test/support/free-port.ts';
import { missing } from '../../../test/support/peer-program.ts';
import { ask, receivedBy, statusOf } from '../../../test/support/render-exam.ts';
import { ALLOWED, orderOf, RenderLab, SERVED } from '../../../test/support/render-lab.ts';
import { examineRendered } from '../../../test/support/render-suite.ts';
import { defaultPolicy } from '../policy/policy.ts';
import { decodePem } from '../x509/pem.ts';
import { renderConfiguration } from './render-configuration.ts';

examineRendered({
  kind: 'nginx',
  program: 'nginx',
  needs: '/usr/lib/nginx/modules/ngx_http_js_module.so',
  check: (file) => ['-t', '-g', `daemon off; pid ${file}.pid;`, '-c', file],
  complains: /\[(?:warn|error|emerg)\]/,
  run: (file) => ['-g', `daemon off; pid ${file}.pid;`, '-c', file],
  unproved: '400',
  // This nginx runs on an OpenSSL without ML-KEM, which the order says.
  exam: { 'an hybrid group': 'closed' },
  findings: ['post-quantum-missing: none of X25519MLKEM768'],
  lists: 'path',
  toldCertificate: true,
  observed: { toldWhenProved: false },
  countsChunks: true,
  staples: true,
  rates: 'caller',
  serverField: 'nginx',
});

test('nginx without njs tells a caller by its whole certificate, and cannot tell callers apart', { skip: missing('nginx') }, async () => {
  await using lab = await RenderLab.open();
  const [port, good] = [await freePort(), lab.client([ALLOWED])];
  const words = {
    ...(await lab.words(port, lab.server([SERVED]))),
    crl: await lab.file('lists.pem', lab.lists([], 'path')),
    crlOf: 'path',
    log: `${lab.folder}/calls.log`,
  };
  const policy = { ...defaultPolicy, limits: { ...defaultPolicy.limits, connections: 100 } };
  const order = orderOf('nginx', words, { policy, hasNjs: false, callers: null });
  const rendering = renderConfiguration(order);
  assert.equal(rendering.files.length, 1);
  const file = await lab.write('plain.conf', order, rendering);
  await lab.start('nginx', ['-g', `daemon off; pid ${file}.pid;`, '-c', file], port);
  const { headers } = receivedBy(
    await ask(lab, port, { caller: good, head: ['Client-Cert: :Zm9yZ2Vk:', 'X-Forwarded-Client-Cert: URI=x'] }),
  );
  const [, escaped = ''] = /^Cert="([^"]+)"$/.exec(headers['x-forwarded-client-cert']!) ?? [];
  assert.deepEqual(decodePem(decodeURIComponent(escaped), 'CERTIFICATE'), [new Uint8Array(good.certificate.der)]);
  assert.equal(headers['client-cert'], undefined);
  assert.equal(statusOf(await ask(lab, port, {})), 400);
});
