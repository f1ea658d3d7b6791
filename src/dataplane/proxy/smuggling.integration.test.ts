import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { callInClear, inboundTo, type Origin, ProxyLab, requestText, tcpOrigin } from '../../../test/support/proxy-lab.ts';

async function openLab(): Promise<{ lab: ProxyLab; origin: Origin; port: number }> {
  const lab = new ProxyLab();
  const origin = await lab.origin(
    (request, response) => void request.resume().on('end', () => response.setHeader('Content-Length', 2).end('ok')),
  );
  await lab.apply({ inbound: [inboundTo(origin.port, 'observe')] });
  return { lab, origin, port: lab.portOf(0) };
}

const SMUGGLED = 'GET /admin HTTP/1.1\r\nHost: a\r\n\r\n';
const POST = 'POST / HTTP/1.1\r\nHost: a\r\n';
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n`;

/** What one server reads as one request and another as two. Nothing of any of them may reach the service. */
const hostile: readonly (readonly [name: string, octets: string])[] = [
  ['CL.TE', `${POST}Content-Length: ${SMUGGLED.length + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ['TE.CL', `${CHUNKED}Content-Length: 4\r\n\r\n5c\r\n${SMUGGLED}\r\n0\r\n\r\n`],
  ['CL.0 beside chunks', `${CHUNKED}Content-Length: 0\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ['CL.CL, different', `${POST}Content-Length: 0\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`],
  ['CL.CL, equal', `${POST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`],
  ['a list of lengths', `${POST}Content-Length: 5, 5\r\n\r\nhello`],
  ['a length with a sign', `${POST}Content-Length: +5\r\n\r\nhello`],
  ['a length in hexadecimal', `${POST}Content-Length: 0x5\r\n\r\nhello`],
  ['a length that overflows', `${POST}Content-Length: 18446744073709551617\r\n\r\n${SMUGGLED}`],
  ['a length behind a line folded', `${POST}Content-Length:\r\n 5\r\n\r\nhello`],
  ['a length with a space before the colon', `${POST}Content-Length : 5\r\n\r\nhello`],
  ['a length with a NUL', `${POST}Content-Length: 5\0\r\n\r\nhello`],
  ['a length with an underscore', `${POST}Content_Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`],
  ['TE.TE, the second unknown', `${CHUNKED}Transfer-Encoding: x\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ['TE.TE, twice chunked', `${CHUNKED}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ['chunked not last', `${POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ['a coding under chunked', `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ['chunked in quotes', `${POST}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ['chunked behind a tab', `${POST}Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ['chunked behind a vertical tab', `${POST}Transfer-Encoding: \u000bchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ['chunked with a space before the colon', `${POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ['chunked with an underscore', `${POST}Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ['chunked hidden behind a bare CR', `${POST}X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ['chunked hidden behind a bare LF', `${POST}X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ['chunked in HTTP/1.0', `POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  ['lines that end with LF', 'GET / HTTP/1.1\nHost: a\n\n'],
  ['a head that ends with LF', 'GET / HTTP/1.1\r\nHost: a\r\n\n'],
  ['two hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
  ['a host with a path', 'GET / HTTP/1.1\r\nHost: a/admin?\r\n\r\n'],
  ['a target with another host', 'GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a target with a space', 'GET /a /admin HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a tunnel', 'CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n'],
  ['a field before any', 'GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n'],
  ['a field without a name', `${POST}: a\r\nContent-Length: 0\r\n\r\n`],
  ['HTTP/2 in the clear', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['HTTP/0.9', 'GET /\r\n'],
  ['no request', '\u0001\u0002\u0003\r\n\r\n'],
];

describe('of a request that could be read in two ways nothing reaches the service, and its caller is told and cut off:', () => {
  for (const [name, octets] of hostile) {
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
