import assert from 'node:assert/strict';
import { createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Outcome, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { GRPC } from '../../../test/support/grpc-lab.ts';
import { makeFiles } from '../../../test/support/openssl.ts';
import { missing, runProgram } from '../../../test/support/peer-program.ts';
import { chainPemOf, inboundTo, keyPemOf, ProxyLab, STOREFRONT, type modes } from '../../../test/support/proxy-lab.ts';

/** A service of HTTP/2 that echoes, behind a proxy. */
async function openLab(mode: keyof typeof modes): Promise<{ readonly lab: ProxyLab; readonly port: number }> {
  const lab = new ProxyLab();
  const service = createServer();
  service.on('session', (session) => lab.onClose(() => session.destroy()));
  service.on('stream', (opened, headers) => {
    const stream = opened as ServerHttp2Stream;
    stream.on('error', () => {});
    stream.respond({ ':status': 200, 'x-method': headers[':method'] });
    stream.pipe(stream);
  });
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  lab.onClose(() => service.close());
  await lab.apply({ inbound: [inboundTo((service.address() as AddressInfo).port, mode, GRPC)] });
  return { lab, port: lab.portOf(0) };
}

async function writeCredential(lab: ProxyLab, files: Awaited<ReturnType<typeof makeFiles>>) {
  const credential = lab.authority.issue({ uris: [STOREFRONT] });
  return { cert: await files.write('cert.pem', chainPemOf(credential)), key: await files.write('key.pem', keyPemOf(credential)) };
}

test('curl speaks HTTP/2 by ALPN with its certificate, and is let in', { skip: missing('curl') }, async () => {
  const { lab, port } = await openLab('enforce');
  await using _ = lab;
  await using files = await makeFiles();
  const { cert, key } = await writeCredential(lab, files);
  const body = await files.write('body', 'x'.repeat(300_000));
  const options = ['-sk', '--http2', '--cert', cert, '--key', key, '--data-binary', `@${body}`, '-w', '\n%{http_version} %{response_code}'];
  const { code, stdout, stderr } = await runProgram('curl', [...options, `https://127.0.0.1:${port}/`]);
  assert.equal(code, 0, stderr);
  assert.equal(stdout, `${'x'.repeat(300_000)}\n2 200`);
  const refused = await runProgram('curl', ['-sk', '--http2', `https://127.0.0.1:${port}/`]);
  assert.notEqual(refused.code, 0);
});

test('curl speaks HTTP/2 in the clear while nobody is refused', { skip: missing('curl') }, async () => {
  const { lab, port } = await openLab('permissive');
  await using _ = lab;
  const args = ['-s', '--http2-prior-knowledge', '-d', 'hello', '-w', '\n%{http_version} %{response_code}', `http://127.0.0.1:${port}/`];
  assert.equal((await runProgram('curl', args)).stdout, 'hello\n2 200');
});

test('nghttp gets an answer, and h2load many over few connections, none of them failed', { skip: missing('h2load') }, async () => {
  const { lab, port } = await openLab('enforce');
  await using _ = lab;
  await using files = await makeFiles();
  const { cert, key } = await writeCredential(lab, files);
  const body = await files.write('body', 'payload');
  const one = await runProgram('nghttp', ['-y', '--cert', cert, '--key', key, '-d', body, `https://127.0.0.1:${port}/`]);
  assert.equal(one.stdout, 'payload', one.stderr);
  lab.proxy.takeReport();
  const { lab: clear, port: clearPort } = await openLab('permissive');
  await using __ = clear;
  const load = await runProgram('h2load', ['-n', '2000', '-c', '4', '-m', '50', '-d', body, `http://127.0.0.1:${clearPort}/`]);
  assert.match(load.stdout, /requests: 2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored/);
  const calls = clear.proxy.takeReport().counts!.filter(({ unit }) => unit === Unit.CALL);
  assert.deepEqual(
    calls.map(({ outcome, count }) => [outcome, count]),
    [[Outcome.WOULD_REFUSE, 2_000n]],
  );
});
