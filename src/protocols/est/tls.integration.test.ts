import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect, type ConnectionOptions } from 'node:tls';
import { openEstLab } from '../../../test/support/est-lab.ts';

const scratch = mkdtempSync(join(tmpdir(), 'countersign-est-tls-'));
const lab = await openEstLab(`sqlite:${join(scratch, 'est.sqlite')}`);
after(async () => {
  await lab[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

const dial = (options: ConnectionOptions) => connect({ host: '127.0.0.1', port: lab.port, ca: lab.root, ...options });

test('TLS 1.2 and 1.3 are spoken, with forward secrecy and AEAD, and nothing older', async () => {
  for (const [maxVersion, suite] of [
    ['TLSv1.3', /^TLS_/],
    ['TLSv1.2', /^ECDHE-ECDSA-.*(?:GCM|CHACHA20)/],
  ] as const) {
    const socket = dial({ maxVersion });
    await once(socket, 'secureConnect');
    assert.equal(socket.getProtocol(), maxVersion);
    assert.match(socket.getCipher().name, suite);
    socket.destroy();
  }
  const old = 'DEFAULT:@SECLEVEL=0';
  for (const refused of [
    { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: old },
    { maxVersion: 'TLSv1.2', ciphers: `AES128-GCM-SHA256:${old}:!ECDHE` },
    { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256' },
  ] as const) {
    const [error] = await once(dial(refused), 'error');
    assert.match(String(error.code), /ALERT|PROTOCOL|CIPHER/, JSON.stringify(refused));
  }
});

test('no session is resumed, so that a connection has one channel binding', async () => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const first = dial({ maxVersion });
    let session: Buffer | undefined;
    first.on('session', (held) => (session = held));
    await once(first, 'secureConnect');
    // What a session would come with: the answer to a request follows it.
    first.write('GET /.well-known/est/cacerts HTTP/1.1\r\nhost: x\r\n\r\n');
    await once(first, 'data');
    session ??= first.getSession();
    first.destroy();
    const second = dial({ maxVersion, ...(session === undefined ? {} : { session }) });
    await once(second, 'secureConnect');
    assert.equal(second.isSessionReused(), false, maxVersion);
    second.destroy();
  }
});
