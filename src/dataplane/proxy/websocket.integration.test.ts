import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { clientOptions, inboundTo, ProxyLab, STOREFRONT, STRANGER } from '../../../test/support/proxy-lab.ts';

/** A service that takes every WebSocket and hands its side to the test, and a caller's open tunnel to it. */
async function openTunnel(onTunnel: (far: Socket) => void): Promise<{ readonly lab: ProxyLab; readonly near: TLSSocket }> {
  const lab = new ProxyLab();
  const origin = await lab.origin();
  origin.server.on('upgrade', (_request, far: Socket) => {
    lab.onClose(() => far.destroy());
    far.on('error', () => {});
    far.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    onTunnel(far);
  });
  await lab.apply({ inbound: [inboundTo(origin.port, 'enforce')] });
  const options = { host: '127.0.0.1', port: lab.portOf(0), rejectUnauthorized: false, allowHalfOpen: true };
  const near = connectTls({ ...options, ...credentialOf(lab, STOREFRONT) } as ConnectionOptions);
  near.on('error', () => {});
  lab.onClose(() => near.destroy());
  near.write('GET /ws HTTP/1.1\r\nHost: orders\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  assert.match(String((await once(near, 'data'))[0]), /^HTTP\/1\.1 101 /);
  return { lab, near };
}

function credentialOf(lab: ProxyLab, spiffeId: string) {
  return clientOptions(lab.authority.issue({ uris: [spiffeId] }));
}

test('the tunnel of a revoked identity is cut', async () => {
  const closed = Promise.withResolvers<void>();
  const { lab, near } = await openTunnel((far) => far.resume().on('end', () => closed.resolve()));
  await using _ = lab;
  lab.revoke({ suspended: [STOREFRONT] });
  near.resume().on('end', () => near.end());
  await new Promise((resolve) => near.on('close', resolve));
  await closed.promise;
});

test('who may not call opens no tunnel', async () => {
  const { lab } = await openTunnel(() => {});
  await using _ = lab;
  const stranger = connectTls({ host: '127.0.0.1', port: lab.portOf(0), rejectUnauthorized: false, ...credentialOf(lab, STRANGER) });
  stranger.on('error', () => {});
  let text = '';
  stranger.on('data', (chunk: Buffer) => (text += chunk.toString()));
  stranger.write('GET /ws HTTP/1.1\r\nHost: orders\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  await new Promise((resolve) => stranger.on('close', resolve));
  assert.equal(text, '');
});

test('each direction ends for itself', async () => {
  let heard = '';
  const { lab, near } = await openTunnel((far) => {
    far.on('data', (chunk: Buffer) => (heard += chunk.toString()));
    far.on('end', () => far.end(`heard ${heard}`));
  });
  await using _ = lab;
  near.end('all of it');
  let text = '';
  near.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await once(near, 'end');
  assert.equal(text, 'heard all of it');
});

test('a side that does not read stops the other one', async () => {
  const written = { octets: 0 };
  const { lab, near } = await openTunnel((far) => {
    const fill = (): void => {
      do written.octets += 65_536;
      while (far.write(Buffer.alloc(65_536)) && written.octets < 200_000_000);
    };
    far.on('drain', fill);
    fill();
  });
  await using _ = lab;
  near.pause();
  let before = -1;
  // It has stopped writing when a while goes by without an octet more.
  while (written.octets !== before) {
    before = written.octets;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.ok(written.octets < 100_000_000, `the service wrote ${written.octets} octets`);
});
