import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { callInClear, inboundTo, ProxyLab, requestText, tcpOrigin } from '../../../test/support/proxy-lab.ts';

/** A proxy in observe before a service that this function speaks for, a connection at a time. */
async function openLab(onSocket: (socket: Socket) => void): Promise<{ lab: ProxyLab; port: number }> {
  const lab = new ProxyLab();
  const { port } = await tcpOrigin(lab, onSocket);
  await lab.apply({ inbound: [inboundTo(port, 'observe')] });
  return { lab, port: lab.portOf(0) };
}

const answering =
  (answer: string) =>
  (socket: Socket): void =>
    void socket.on('data', () => socket.write(answer));
/** More than the kernel keeps for who does not read. */
const LONG = 12_000_000;
const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n';

test('who speaks HTTP/1.0 gets no chunks, and the end of the connection ends the answer', async () => {
  const { lab, port } = await openLab(answering(CHUNKED));
  await using _ = lab;
  const answer = await callInClear(port, 'GET / HTTP/1.0\r\n\r\n');
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n[^]*Connection: close\r\n\r\nok$/);
  assert.doesNotMatch(answer, /transfer-encoding/i);
});

test('an answer that ends with its connection goes on in chunks, and one cut off in it is cut off for the caller', async () => {
  let cut = false;
  const { lab, port } = await openLab((socket) =>
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\n\r\nok', () => (cut ? socket.resetAndDestroy() : socket.end()))),
  );
  await using _ = lab;
  assert.match(await callInClear(port), /Transfer-Encoding: chunked\r\n[^]*\r\n\r\n2\r\nok\r\n0\r\n\r\n$/);
  cut = true;
  assert.doesNotMatch(await callInClear(port), /\r\n0\r\n\r\n$/);
});

test('an expectation that nobody here can meet is answered with 417, and the call does not go on', async () => {
  const seen: string[] = [];
  const { lab, port } = await openLab((socket) => void socket.on('data', (octets) => seen.push(octets.toString())));
  await using _ = lab;
  assert.match(await callInClear(port, 'POST / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\nx'), /^HTTP\/1\.1 417 /);
  assert.deepEqual(seen, []);
});

test('an answer that comes before the request is whole arrives, and the connection ends with it', async () => {
  const { lab, port } = await openLab((socket) => {
    socket.once('data', () => socket.write('HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno'));
  });
  await using _ = lab;
  const answer = await callInClear(port, `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n${'x'.repeat(100_000)}`);
  assert.match(answer, /^HTTP\/1\.1 413 [^]*\r\nConnection: close\r\n\r\nno$/);
});

test('interim answers stay at the hop that asked for them', async () => {
  const { lab, port } = await openLab(answering(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${CHUNKED}`));
  await using _ = lab;
  const answer = await callInClear(port);
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
  assert.doesNotMatch(answer, /Link/);
});

test('what a slow caller leaves lying stays as it came, whatever other calls read meanwhile', async () => {
  const { lab, port } = await openLab((socket) =>
    socket.on('data', (octets: Buffer) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${LONG}\r\n\r\n`);
      socket.write(Buffer.alloc(LONG, octets.subarray(5, 6)));
    }),
  );
  await using _ = lab;
  const slow = connect(port, '127.0.0.1');
  slow.write('GET /s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  // Its beginning is here, and nothing more is read of it.
  await once(slow, 'readable');
  const fast = await callInClear(port, 'GET /f HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  assert.equal(fast.slice(-LONG) === 'f'.repeat(LONG), true);
  const answer = Buffer.concat(await slow.toArray());
  assert.equal(answer.subarray(-LONG).equals(Buffer.alloc(LONG, 's')), true);
});

test('a connection to the service is used again, but not one that it closes or says it closes', async () => {
  let connections = 0;
  let says = 'Keep-Alive: timeout=60';
  const { lab, port } = await openLab((socket) => {
    connections += 1;
    socket.on('data', () => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\n${says}\r\n\r\n`));
  });
  await using _ = lab;
  for (let call = 0; call < 3; call++) await callInClear(port);
  assert.equal(connections, 1);
  for (says of ['Connection: close', 'Keep-Alive: timeout=1']) {
    const before: number = connections;
    await callInClear(port);
    await callInClear(port);
    assert.equal(connections, before + (before === 1 ? 1 : 2), says);
  }
});

test('a call of which octets were written is not sent again when its connection breaks', async () => {
  let calls = 0;
  const { lab, port } = await openLab((socket) =>
    socket.on('data', () => {
      calls += 1;
      if (calls === 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
      else socket.destroy();
    }),
  );
  await using _ = lab;
  assert.match(await callInClear(port), /^HTTP\/1\.1 200 /);
  assert.match(await callInClear(port), /^HTTP\/1\.1 502 /);
  assert.equal(calls, 2);
});

test('a body that is slow to come takes no connection to the service before it is whole', async () => {
  let received = '';
  let connections = 0;
  const { lab, port } = await openLab((socket) => {
    connections += 1;
    socket.on('data', (octets) => {
      received += octets.toString();
      socket.write(CHUNKED);
    });
  });
  await using _ = lab;
  const socket = connect(port, '127.0.0.1');
  socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbo');
  await callInClear(port, requestText().replace('GET', 'FOO'));
  assert.equal(connections, 0);
  socket.destroy();
  assert.match(await callInClear(port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody'), /ok/);
  assert.match(received, /^POST \/ HTTP\/1\.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody$/);
});

test('an interim answer that brings a body is none', async () => {
  const { lab, port } = await openLab(answering(`HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\n\r\n${CHUNKED}`));
  await using _ = lab;
  assert.match(await callInClear(port), /^HTTP\/1\.1 502 /);
});

test('a WebSocket whose service is away is answered on a connection that ends, as no more calls are read on it', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  const { port: away, server } = await tcpOrigin(lab, () => {});
  await new Promise((resolve) => server.close(resolve));
  await lab.apply({ inbound: [inboundTo(away, 'observe')] });
  const offer = 'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
  assert.match(await callInClear(lab.portOf(0), offer), /^HTTP\/1\.1 503 [^]*Connection: close/);
});

test('what a service says of the reason of a failure reaches nobody: only a proxy says it, to its own service', async () => {
  const trailing = '2\r\nok\r\n0\r\n\r\n';
  const { lab, port } = await openLab(
    answering(
      `HTTP/1.1 200 OK\r\nCountersign-Failure: revoked\r\ncountersign_failure: revoked\r\nTransfer-Encoding: chunked\r\n\r\n${trailing}`,
    ),
  );
  await using _ = lab;
  const answer = await callInClear(port);
  assert.match(answer, /^HTTP\/1\.1 200 /);
  assert.doesNotMatch(answer, /failure/i);
});

test('an answer whose head is past its limit is 503, as it is over HTTP/2', async () => {
  const { lab, port } = await openLab(answering(`HTTP/1.1 200 OK\r\nX: ${'a'.repeat(100_000)}\r\n\r\n`));
  await using _ = lab;
  assert.match(await callInClear(port), /^HTTP\/1\.1 503 /);
});
