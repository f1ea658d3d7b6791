import assert from 'node:assert/strict';
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { TLSSocket } from 'node:tls';
import { findPostgres, startCluster, UNPRIVILEGED } from '../../../test/support/postgres-cluster.ts';
import { pemOf, TlsServers } from '../../../test/support/tls-servers.ts';
import { judgePosture } from '../../core/findings/judge-posture.ts';
import { parseDnsName } from '../../core/identity/dns-name.ts';
import { defaultPolicy } from '../../core/policy/policy.ts';
import { scanPosture, type Speech } from './scan-posture.ts';

const servers = await TlsServers.open();
after(() => servers[Symbol.asyncDispose]());
const limits = { connections: 200, atOnce: 4, timeoutMs: 1_000, deadlineMs: 20_000 };
const scan = (port: number, speech: Speech) => scanPosture({ host: '127.0.0.1', port, serverName: 'localhost', speech, limits });

const programs = await findPostgres();
test('a real PostgreSQL is asked for TLS by SSLRequest', { skip: programs === null ? 'no PostgreSQL here' : false }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-scan-pg-'));
  const own = (file: string, text = ''): string => {
    if (file !== folder) writeFileSync(file, text, { mode: 0o600 });
    if (process.getuid?.() === 0) chownSync(file, UNPRIVILEGED, UNPRIVILEGED);
    return file;
  };
  own(folder);
  const { cert, key } = pemOf(servers.credential());
  const files = [`ssl_cert_file=${own(join(folder, 'cert'), cert)}`, `ssl_key_file=${own(join(folder, 'key'), key)}`];
  const secure = await startCluster(programs!, undefined, ['ssl=on', ...files, 'ssl_min_protocol_version=TLSv1']);
  const clear = await startCluster(programs!);
  try {
    const posture = await scan(Number(new URL(secure.url).port), 'postgres');
    if (posture.kind !== 'tls') assert.fail(JSON.stringify(posture));
    assert.ok(posture.versions.includes('1.3') && posture.versions.includes('1.2'), posture.versions.join());
    assert.equal(posture.clientCertificate.kind, 'none');
    assert.deepEqual([posture.http, posture.plaintext, posture.gaps], [null, null, []]);
    const found = judgePosture(Date.now(), posture, {
      policy: defaultPolicy,
      anchors: [servers.authority.root],
      identity: { kind: 'dns', name: parseDnsName('localhost') },
      clientCertificate: 'required',
      expiresWithinMs: null,
    });
    assert.ok(found.some(({ rule }) => rule === 'client-certificate-missing'));
    assert.ok(!found.some(({ rule }) => rule.startsWith('chain') || rule.startsWith('name')));
    assert.deepEqual(await scan(Number(new URL(clear.url).port), 'postgres'), { kind: 'no-tls', plaintext: null });
  } finally {
    await Promise.all([secure.stop(), clear.stop()]);
    rmSync(folder, { recursive: true, force: true });
  }
});

/** The end of a mail server that a client talks to before TLS, and TLS by Node after it. */
function mailServer({ offers, answer = '220 go ahead\r\n' }: { readonly offers: string; readonly answer?: string }) {
  const { cert, key } = pemOf(servers.credential());
  return (socket: Socket): void => {
    socket.write('220-mail.test\r\n220 ESMTP\r\n');
    socket.on('data', (octets: Buffer) => {
      const command = octets.toString('latin1');
      if (command.startsWith('EHLO')) socket.write(`250-mail.test\r\n${offers}250 HELP\r\n`);
      if (command !== 'STARTTLS\r\n') return;
      socket.removeAllListeners('data');
      socket.write(answer);
      new TLSSocket(socket, { isServer: true, cert, key }).on('error', () => undefined).resume();
    });
  };
}

test('a mail server is asked for TLS by STARTTLS, and only if it offers that', async () => {
  const secure = await scan(await servers.byHand(mailServer({ offers: '250-STARTTLS\r\n' })), 'smtp');
  if (secure.kind !== 'tls') assert.fail(JSON.stringify(secure));
  assert.deepEqual([secure.versions, secure.gaps, secure.chains.length], [['1.2', '1.3'], [], 1]);
  for (const server of [
    mailServer({ offers: '' }),
    mailServer({ offers: '250-STARTTLSX\r\n' }),
    mailServer({ offers: '250-STARTTLS\r\n', answer: '454 not now\r\n' }),
    (socket: Socket) => void socket.write('554 go away\r\n'),
    (socket: Socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'),
  ])
    assert.deepEqual(await scan(await servers.byHand(server), 'smtp'), { kind: 'no-tls', plaintext: null });
});

test('a server that says nothing, or never enough, is not waited for beyond the bounds', async () => {
  for (const serve of [() => undefined, (socket: Socket) => void socket.write('220-')]) {
    const posture = await scanPosture({
      host: '127.0.0.1',
      port: await servers.byHand(serve),
      serverName: null,
      speech: 'smtp',
      limits: { ...limits, timeoutMs: 200 },
    });
    assert.deepEqual(posture, { kind: 'unreachable', because: 'no answer in time' });
  }
});
