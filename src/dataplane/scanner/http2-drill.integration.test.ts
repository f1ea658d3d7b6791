import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { connect as connectHttp2 } from 'node:http2';
import { GRPC, grpcService } from '../../../test/support/grpc-lab.ts';
import { chainPemOf, clientOptions, inboundTo, keyPemOf, PROBE, ProxyLab, STRANGER, type modes } from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority, type TestAuthority, type TestCredential, type TestLeaf } from '../../../test/support/test-authority.ts';
import { HOUR_MS } from '../../core/time/instant.ts';
import { fingerprintOf } from '../tls/sniff-connection.ts';
import { makeDrillRequest } from './drill-request.ts';
import { type DrillShot, fireDrill } from './fire-drill.ts';

async function openLab(mode: keyof typeof modes): Promise<{ lab: ProxyLab; shot: (changes: Partial<DrillShot>) => DrillShot }> {
  const lab = new ProxyLab();
  const { port } = await grpcService(lab);
  await lab.apply({ inbound: [inboundTo(port, mode, GRPC)] });
  const address = { host: '127.0.0.1', port: lab.portOf(0) };
  return { lab, shot: (changes) => ({ kind: 'positive', address, credential: null, speech: 'h2', timeoutMs: 5_000, ...changes }) };
}

function probeOf(authority: TestAuthority, leaf: TestLeaf = {}): TestCredential {
  return authority.issue({ uris: [PROBE], ...leaf });
}

function credentialOf(credential: TestCredential) {
  return { certificates: chainPemOf(credential), key: keyPemOf(credential), serial: credential.certificate.serial };
}

test('the prober is answered over HTTP/2 by the proxy itself', async () => {
  const { lab, shot } = await openLab('enforce');
  await using _ = lab;
  const sight = await fireDrill(shot({ credential: credentialOf(probeOf(lab.authority)) }));
  assert.deepEqual([sight.seen, sight.statusLine], ['answered', 'HTTP/2 200']);
  assert.equal(Buffer.from(sight.servedSerial!).toString('hex'), lab.credential.certificate.serialHex);
  assert.deepEqual(lab.proxy.takeReport().counts, [], 'it is no traffic of any path');
});

test('the prober gets no other answer, and nothing of its calls goes on', async () => {
  const { lab } = await openLab('enforce');
  await using _ = lab;
  const options = clientOptions(probeOf(lab.authority));
  const session = connectHttp2(`https://127.0.0.1:${lab.portOf(0)}`, { rejectUnauthorized: false, ...options });
  session.on('error', () => {});
  const stream = session.request({ ':method': 'POST', ':path': '/acme.Echo/Unary' });
  stream.on('error', () => {});
  stream.end('x');
  let answered = false;
  stream.on('response', () => (answered = true));
  await new Promise((resolve) => stream.on('close', resolve));
  assert.equal(answered, false);
});

const early = { notBefore: Date.now() + HOUR_MS, notAfter: Date.now() + 2 * HOUR_MS };
const old = { notBefore: Date.now() - 2 * HOUR_MS, notAfter: Date.now() - HOUR_MS };
function revoked(lab: ProxyLab, credential: TestCredential): TestCredential {
  lab.revoke({ credentials: [credential] });
  return credential;
}

for (const [kind, reason, credential] of [
  ['plaintext', 'plaintext', () => null],
  ['no-certificate', 'no-certificate', () => null],
  ['expired', 'expired', ({ authority }: ProxyLab) => probeOf(authority, old)],
  ['unknown-authority', 'unknown-authority', () => probeOf(makeTestAuthority(Date.now(), 'Stranger'))],
  ['wrong-identity', 'wrong-identity', ({ authority }: ProxyLab) => authority.issue({ uris: [STRANGER] })],
  ['not-yet-valid', 'not-yet-valid', ({ authority }: ProxyLab) => probeOf(authority, early)],
  ['wrong-usage', 'wrong-usage', ({ authority }: ProxyLab) => probeOf(authority, { usages: ['server'] })],
  ['revoked', 'revoked', (lab: ProxyLab) => revoked(lab, probeOf(lab.authority))],
  ['tls-1.1', 'tls-version', ({ authority }: ProxyLab) => probeOf(authority)],
] as const) {
  test(`${kind} over HTTP/2 is refused without an answer, and both ends speak of the same connection`, async () => {
    const { lab, shot } = await openLab('enforce');
    await using _ = lab;
    const shown = credential(lab);
    const sight = await fireDrill(shot({ kind, credential: shown === null ? null : credentialOf(shown) }));
    assert.equal(sight.octetsAnswered, 0);
    const [refusal] = lab.refusals();
    assert.equal(refusal!.reason, reason);
    assert.deepEqual(Buffer.from(refusal!.firstOctetsSha256), sight.firstOctetsSha256);
  });
}

test('revoked-then-resumed over HTTP/2: the session is taken up again before the revocation, and refused after it', async () => {
  const { lab, shot } = await openLab('enforce');
  await using _ = lab;
  const probe = probeOf(lab.authority);
  const credential = credentialOf(probe);
  const { session } = await fireDrill(shot({ credential }));
  const again = await fireDrill(shot({ credential, session: session! }));
  assert.deepEqual([again.seen, again.resumed], ['answered', true]);
  lab.refusals();
  lab.revoke({ credentials: [probe] });
  const sight = await fireDrill(shot({ kind: 'revoked-then-resumed', credential, session: session! }));
  assert.equal(sight.octetsAnswered, 0);
  const [refusal] = lab.refusals();
  assert.deepEqual([refusal!.reason, refusal!.resumed], ['revoked', true]);
  assert.deepEqual(Buffer.from(refusal!.firstOctetsSha256), sight.firstOctetsSha256);
});

test('in permissive a plaintext drill over HTTP/2 is answered, as any caller is', async () => {
  const { lab, shot } = await openLab('permissive');
  await using _ = lab;
  assert.equal((await fireDrill(shot({ kind: 'plaintext' }))).seen, 'answered');
});

test('a preface that comes alone is no whole beginning: the fingerprint waits for what follows', async () => {
  const { lab } = await openLab('enforce');
  await using _ = lab;
  const { octets } = makeDrillRequest('h2', '127.0.0.1');
  const socket = connect({ port: lab.portOf(0), host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {});
  socket.write(octets.subarray(0, 24), () => setTimeout(() => socket.write(octets.subarray(24)), 20));
  await new Promise((resolve) => socket.on('close', resolve));
  assert.deepEqual(Buffer.from(lab.refusals()[0]!.firstOctetsSha256), fingerprintOf(octets));
});

test('what a server sends before it has judged is no answer, nor is a refusal of the connection', () => {
  const { take, read } = makeDrillRequest('h2', '127.0.0.1');
  const settings = Buffer.from('000000040000000000', 'hex');
  const goaway = Buffer.from('0000080700000000000000000000000001', 'hex');
  assert.deepEqual([take(settings), take(goaway.subarray(0, 5)), take(goaway.subarray(5)), read().octetsAnswered], [false, false, true, 0]);
});
