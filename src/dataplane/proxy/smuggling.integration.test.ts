import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { CHUNKED, SMUGGLED, smugglingRequests } from '../../../test/support/smuggling-requests.ts';
import { callInClear, inboundTo, type Origin, ProxyLab, requestText, tcpOrigin } from '../../../test/support/proxy-lab.ts';

async function openLab(): Promise<{ lab: ProxyLab; origin: Origin; port: number }> {
  const lab = new ProxyLab();
  const origin = await lab.origin(
    (request, response) => void request.resume().on('end', () => response.setHeader('Content-Length', 2).end('ok')),
  );
  await lab.apply({ inbound: [inboundTo(origin.port, 'observe')] });
  return { lab, origin, port: lab.portOf(0) };
}

describe('of a request that could be read in two ways nothing reaches the service, and its caller is told and cut off:', () => {
  for (const [name, octets] of smugglingRequests) {
    test(name, async () => {
      const { lab, origin, port } = await openLab();
      await using _ = lab;
      const answer = await callInClear(port, Buffer.from(octets, 'latin1'));
      assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/);
      assert.equal(answer.match(/HTTP\/1\.1/g)!.length, 1, 'one answer');
      assert.equal(origin.octets, 0);
      assert.match(await callInClear(port), /^HTTP\/1\.1 200 /, 'others are served');
    });
  }
});

/** Bodies whose head is good: it may have gone on, but no second request does. */
const brokenBodies: readonly (readonly [name: string, body: string])[] = [
  ['a chunk longer than it said', `3\r\nabcd\r\n0\r\n\r\n${SMUGGLED}`],
  ['a chunk that ends with LF', `3\nabc\r\n0\r\n\r\n${SMUGGLED}`],
  ['chunk data that ends with LF', `3\r\nabc\n0\r\n\r\n${SMUGGLED}`],
  ['a chunk size with 0x', `0x3\r\nabc\r\n0\r\n\r\n${SMUGGLED}`],
  ['a chunk size with a sign', `+3\r\nabc\r\n0\r\n\r\n${SMUGGLED}`],
  ['a chunk size with a space', `3 \r\nabc\r\n0\r\n\r\n${SMUGGLED}`],
  ['a chunk size with an underscore', `0_3\r\nabc\r\n0\r\n\r\n${SMUGGLED}`],
  ['a chunk size that overflows', `100000003\r\nabc\r\n0\r\n\r\n${SMUGGLED}`],
  ['an extension with a bare LF', `3;a\nabc\r\n0\r\n\r\n${SMUGGLED}`],
  ['an extension with a bare CR', `3;a\rabc\r\n0\r\n\r\n${SMUGGLED}`],
  ['extensions without end', `3;${'a'.repeat(20_000)}\r\nabc\r\n0\r\n\r\n`],
  ['a trailer section that folds', `0\r\nX: a\r\n b\r\n\r\n${SMUGGLED}`],
  ['a trailer section without end', `0\r\n${'X: a\r\n'.repeat(300)}\r\n${SMUGGLED}`],
  ['a length in the trailer section', `0\r\nContent-Length: 3\r\n\r\n${SMUGGLED}`],
  ['a coding in the trailer section', `0\r\nTransfer-Encoding: chunked\r\n\r\n${SMUGGLED}`],
  ['a host in the trailer section', `0\r\nHost: b\r\n\r\n${SMUGGLED}`],
  ['a connection option in the trailer section', `0\r\nConnection: close\r\n\r\n${SMUGGLED}`],
  ['a length in the trailer section, twice', `0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n${SMUGGLED}`],
];

describe('a body that could be read in two ways ends its call and its connection:', () => {
  for (const [name, body] of brokenBodies) {
    test(name, async () => {
      const { lab, origin, port } = await openLab();
      await using _ = lab;
      const answer = await callInClear(port, Buffer.from(`${CHUNKED}\r\n${body}`, 'latin1'));
      assert.match(answer, /^(?:HTTP\/1\.1 400 [^]*)?$/);
      assert.ok(
        origin.requests.every(({ url }) => url === '/'),
        'nothing smuggled',
      );
      assert.match(await callInClear(port), /^HTTP\/1\.1 200 /, 'others are served');
    });
  }
});

test('trailer fields, chunk extensions and the cuts of a body stay at this hop', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  let received = '';
  const { port } = await tcpOrigin(lab, (socket) =>
    socket.on('data', (octets) => {
      received += octets.toString('latin1');
      if (received.endsWith('0\r\n\r\n')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    }),
  );
  await lab.apply({ inbound: [inboundTo(port, 'observe')] });
  const body = '1;a=b\r\nh\r\n4\r\nello\r\n0;c\r\nX-Forwarded-Client-Cert: forged\r\n\r\n';
  assert.match(await callInClear(lab.portOf(0), `${CHUNKED}Connection: close\r\n\r\n${body}`), /^HTTP\/1\.1 200 /);
  assert.match(received, /\r\n\r\n5\r\nhello\r\n0\r\n\r\n$/);
});

test('what follows a request that was to be the last is no request', async () => {
  const { lab, origin, port } = await openLab();
  await using _ = lab;
  await callInClear(port, `GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n${SMUGGLED}`);
  assert.deepEqual(
    origin.requests.map(({ url }) => url),
    ['/last'],
  );
});

test('calls sent ahead arrive one by one, in their order, whatever the first one takes', async () => {
  const seen: string[] = [];
  let underWay = 0;
  let most = 0;
  const lab = new ProxyLab();
  await using _ = lab;
  const origin = await lab.origin((request, response) => {
    seen.push(request.url!);
    most = Math.max(most, ++underWay);
    setImmediate(() => {
      underWay -= 1;
      response.end(request.url);
    });
  });
  await lab.apply({ inbound: [inboundTo(origin.port, 'observe')] });
  const ahead = ['/1', '/2', '/3'].map((path) => `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok`).join('');
  const answer = await callInClear(lab.portOf(0), `${ahead}${requestText('/4')}`);
  assert.deepEqual([seen, most], [['/1', '/2', '/3', '/4'], 1]);
  assert.deepEqual(answer.match(/\/\d(?=\r|HTTP|$)/g), ['/1', '/2', '/3', '/4']);
});

describe('an answer that could be read in two ways is answered for with 502:', () => {
  for (const [name, answer] of [
    ['a length beside chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 2\r\n\r\nabc'],
    ['chunks in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['a coding under chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
    ['a folded line', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n'],
    ['a bare LF', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n'],
    ['a switch that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'],
    ['another version', 'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n'],
    ['interim answers without end', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(40)],
    ['octets that are no answer', 'hello\r\n\r\n'],
  ] as const) {
    test(name, async () => {
      const lab = new ProxyLab();
      await using _ = lab;
      const { port } = await tcpOrigin(lab, (socket) => socket.once('data', () => socket.write(answer)));
      await lab.apply({ inbound: [inboundTo(port, 'observe')] });
      assert.match(await callInClear(lab.portOf(0)), /^HTTP\/1\.1 502 /);
    });
  }
});

test('octets behind an answer answer no other call', async () => {
  const lab = new ProxyLab();
  await using _ = lab;
  let connections = 0;
  const { port } = await tcpOrigin(lab, (socket) => {
    connections += 1;
    const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n';
    socket.on('data', () => socket.write(`${answer}${connections === 1 ? 'ok' + answer + 'no' : 'ok'}`));
  });
  await lab.apply({ inbound: [inboundTo(port, 'observe')] });
  for (let call = 0; call < 2; call++) assert.match(await callInClear(lab.portOf(0)), /\r\n\r\nok$/);
  assert.equal(connections, 2);
});

test('a head that comes octet by octet is served, and one that never ends is refused with 431', async () => {
  const { lab, origin, port } = await openLab();
  await using _ = lab;
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  for (const octet of requestText('/slow')) await new Promise((resolve) => socket.write(octet, resolve));
  assert.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 200 /);
  assert.equal(origin.requests[0]!.url, '/slow');
  assert.match(await callInClear(port, `GET / HTTP/1.1\r\nX: ${'a'.repeat(100_000)}`), /^HTTP\/1\.1 431 /);
});
