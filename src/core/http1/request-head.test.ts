import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type HeadReading, HeadReader, MAXIMUM_HEAD_OCTETS } from './head-reader.ts';
import { framingOfRequest, keepsConnection, readRequestLine, type RequestHead, type RequestStart, wantsWebSocket } from './request-head.ts';

function read(text: string): HeadReading<RequestStart> {
  return new HeadReader(readRequestLine).read(Buffer.from(text, 'latin1'), 0);
}

function headOf(text: string): RequestHead {
  const reading = read(text);
  assert.equal(reading.kind, 'head', JSON.stringify(text));
  return (reading as Extract<HeadReading<RequestStart>, { kind: 'head' }>).head;
}

/** The lines that travel. */
function forwarded(fields: string, { stripIdentity = true } = {}): string {
  const head = headOf(`GET / HTTP/1.1\r\n${fields}\r\n`);
  const left = head.fields.leftOut.filter(({ why }) => why !== 'identity' || stripIdentity);
  let text = '';
  for (let at = head.fieldsAt; at < head.fieldsEnd; at++) {
    if (!left.some(({ start, end }) => start <= at && at < end)) text += String.fromCharCode(head.octets[at]!);
  }
  return text;
}

describe('a request is refused for', () => {
  const host = 'Host: a\r\n';
  for (const [name, text] of [
    ['a bare LF', `GET / HTTP/1.1\n${host}\r\n`],
    ['a bare LF behind a field', 'GET / HTTP/1.1\r\nHost: a\n\r\n'],
    ['a bare CR in a value', `GET / HTTP/1.1\r\n${host}X: a\rb\r\n\r\n`],
    ['a NUL in a value', `GET / HTTP/1.1\r\n${host}X: a\0b\r\n\r\n`],
    ['two empty lines before it', `\r\n\r\nGET / HTTP/1.1\r\n${host}\r\n`],
    ['a folded line', `GET / HTTP/1.1\r\n${host}X: a\r\n b\r\n\r\n`],
    ['a space before the colon', `GET / HTTP/1.1\r\n${host}X : a\r\n\r\n`],
    ['a field without a name', `GET / HTTP/1.1\r\n${host}: a\r\n\r\n`],
    ['a field without a colon', `GET / HTTP/1.1\r\n${host}X\r\n\r\n`],
    ['an odd octet in a name', `GET / HTTP/1.1\r\n${host}X(: a\r\n\r\n`],
    ['two hosts', `GET / HTTP/1.1\r\n${host}HOST: b\r\n\r\n`],
    ['a host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n'],
    ['a host with a user', 'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n'],
    ['two lengths, even equal ones', `POST / HTTP/1.1\r\n${host}Content-Length: 1\r\nContent-Length: 1\r\n\r\n`],
    ['a signed length', `POST / HTTP/1.1\r\n${host}Content-Length: +1\r\n\r\n`],
    ['a list of lengths', `POST / HTTP/1.1\r\n${host}Content-Length: 1,1\r\n\r\n`],
    ['an empty length', `POST / HTTP/1.1\r\n${host}Content-Length:\r\n\r\n`],
    ['a length beyond what is counted exactly', `POST / HTTP/1.1\r\n${host}Content-Length: 9999999999999999\r\n\r\n`],
    ['a tab around the length', `POST / HTTP/1.1\r\n${host}Content-Length:\t1\r\n\r\n`],
    ['a length that a CGI would read', `POST / HTTP/1.1\r\n${host}Content_Length: 1\r\n\r\n`],
    ['a coding that a CGI would read', `POST / HTTP/1.1\r\n${host}Transfer_Encoding: chunked\r\n\r\n`],
    ['a coding under chunked', `POST / HTTP/1.1\r\n${host}Transfer-Encoding: gzip, chunked\r\n\r\n`],
    ['chunked twice', `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`],
    ['identity as a coding', `POST / HTTP/1.1\r\n${host}Transfer-Encoding: identity\r\n\r\n`],
    ['a vertical tab before chunked', `POST / HTTP/1.1\r\n${host}Transfer-Encoding: \u000bchunked\r\n\r\n`],
    ['a method that nobody knows', `FOO / HTTP/1.1\r\n${host}\r\n`],
    ['a method in lower case', `get / HTTP/1.1\r\n${host}\r\n`],
    ['a tunnel', `CONNECT a:443 HTTP/1.1\r\n${host}\r\n`],
    ['a target that is no path', `GET http://b/ HTTP/1.1\r\n${host}\r\n`],
    ['a target with a fragment', `GET /a#b HTTP/1.1\r\n${host}\r\n`],
    ['a target with a space', `GET /a b HTTP/1.1\r\n${host}\r\n`],
    ['two spaces', `GET  / HTTP/1.1\r\n${host}\r\n`],
    ['a space at the end', `GET / HTTP/1.1 \r\n${host}\r\n`],
    ['another version', `GET / HTTP/1.2\r\n${host}\r\n`],
    ['no version', `GET /\r\n${host}\r\n`],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['more fields than anybody sends', `GET / HTTP/1.1\r\n${host}${'A: b\r\n'.repeat(256)}\r\n`],
  ] as const) {
    test(name, () => assert.equal(read(text).kind, 'malformed'));
  }

  for (const [name, text] of [
    ['no host', 'GET / HTTP/1.1\r\n\r\n'],
    ['a length beside chunks', `POST / HTTP/1.1\r\n${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`],
    ['a length of nothing beside chunks', `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n`],
    ['chunks in HTTP/1.0', 'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ] as const) {
    test(name, () => assert.equal(framingOfRequest(headOf(text)).kind, 'malformed'));
  }

  test('a head without end', () => {
    const reader = new HeadReader(readRequestLine);
    const piece = Buffer.from(`GET /${'a'.repeat(1_000)}`);
    let kind = reader.read(piece, 0).kind;
    let octets = piece.length;
    while (kind === 'incomplete') {
      kind = reader.read(piece, 0).kind;
      octets += piece.length;
    }
    assert.equal(kind, 'too-large');
    assert.ok(octets < MAXIMUM_HEAD_OCTETS + 2 * piece.length);
  });
});

function framing(fields: string): unknown {
  return framingOfRequest(headOf(`POST / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`));
}

test('how a request’s body ends', () => {
  assert.deepEqual(framing(''), { kind: 'none' });
  assert.deepEqual(framing('Content-Length: 0\r\n'), { kind: 'none' });
  assert.deepEqual(framing('content-length:  42 \r\n'), { kind: 'length', octets: 42 });
  assert.deepEqual(framing('TRANSFER-ENCODING: Chunked\r\n'), { kind: 'chunked' });
});

test('whether the connection is kept', () => {
  assert.equal(keepsConnection(headOf('GET / HTTP/1.1\r\nHost: a\r\n\r\n')), true);
  assert.equal(keepsConnection(headOf('GET / HTTP/1.1\r\nHost: a\r\nConnection: X, Close\r\n\r\n')), false);
  assert.equal(keepsConnection(headOf('GET / HTTP/1.0\r\n\r\n')), false);
  assert.equal(keepsConnection(headOf('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')), true);
});

function asks(line: string, fields: string): boolean {
  return wantsWebSocket(headOf(`${line}\r\nHost: a\r\n${fields}\r\n`));
}

test('what asks for a WebSocket', () => {
  const offer = 'Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n';
  assert.equal(asks('GET / HTTP/1.1', offer), true);
  assert.equal(asks('POST / HTTP/1.1', offer), false);
  assert.equal(asks('GET / HTTP/1.0', offer), false);
  assert.equal(asks('GET / HTTP/1.1', `${offer}Content-Length: 0\r\n`), false);
  assert.equal(asks('GET / HTTP/1.1', 'Upgrade: websocket\r\n'), false);
  assert.equal(asks('GET / HTTP/1.1', `${offer}Upgrade: h2c\r\n`), false);
});

describe('of the fields of a request', () => {
  test('end-to-end ones travel in their order and spelling, octet for octet', () => {
    const fields = 'Host: a\r\nX-B:1\r\nx-b:  2 \r\nCookie: c=d\r\nX-\r\n: e\r\n'.replace('X-\r\n: e', 'X-: \u00e9');
    assert.equal(forwarded(fields), fields);
  });

  test('those of this hop do not, nor those that Connection names, wherever they stand', () => {
    const fields =
      'X-Hop: 0\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\nTE: trailers\r\nUpgrade: h2c\r\nExpect: 100-continue\r\nProxy-Connection: a\r\nTrailer: X\r\nHTTP2-Settings: a\r\nHost: a\r\n';
    assert.equal(forwarded(fields), 'Host: a\r\n');
  });

  test('Connection strips no credential', () => {
    const kept = 'Authorization: t\r\nHost: a\r\nCookie: b\r\n';
    assert.equal(forwarded(`Connection: authorization, host, content-length, cookie\r\n${kept}`), kept);
  });

  test('every spelling of an identity field is left out, inbound only', () => {
    for (const name of [
      'X-Forwarded-Client-Cert',
      'x_forwarded_client_cert',
      'X-Forwarded_Client-Cert',
      'CLIENT-CERT',
      'client_cert',
      'Client-Cert-Chain',
      'client_cert_chain',
    ]) {
      assert.equal(forwarded(`Host: a\r\n${name}: forged\r\n`), 'Host: a\r\n', name);
      assert.equal(forwarded(`Host: a\r\n${name}: own\r\n`, { stripIdentity: false }), `Host: a\r\n${name}: own\r\n`, name);
    }
  });

  test('the neighbours of identity fields travel', () => {
    for (const name of ['client-certificate', 'x-client-cert', 'client-cert-', 'x-forwarded-for', 'client.cert']) {
      assert.equal(forwarded(`Host: a\r\n${name}: a\r\n`), `Host: a\r\n${name}: a\r\n`, name);
    }
  });
});
