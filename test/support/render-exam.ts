import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { text } from 'node:stream/consumers';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { DAY_MS } from '../../src/core/time/instant.ts';
import { ALLOWED, keyWithPlanted, type LabCredential, type RenderLab, SERVED } from './render-lab.ts';

/** What a caller got: an answer of HTTP, or no more than a closed connection. */
export type Got =
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly fields: ReadonlyMap<string, string>;
      readonly body: string;
      readonly group: string;
      readonly protocol: string;
      readonly resumed: boolean;
    }
  | { readonly kind: 'closed'; readonly why: string };

export type Asked = {
  readonly caller?: LabCredential | null;
  readonly tls?: ConnectionOptions;
  readonly host?: string;
  readonly head?: readonly string[];
  readonly body?: string;
  /** In chunks, so that its length is not announced. */
  readonly chunked?: boolean;
};

/** One call on one connection. */
export function ask(
  lab: RenderLab,
  port: number,
  { caller, tls = {}, host = SERVED, head = [], body, chunked = false }: Asked,
): Promise<Got> {
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername: SERVED,
    ca: lab.rootPem,
    ALPNProtocols: ['http/1.1'],
    ...(caller === null || caller === undefined ? {} : { cert: caller.certPem, key: caller.keyPem }),
    ...tls,
  });
  const lines = [`${body === undefined ? 'GET' : 'POST'} /a HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...head];
  const framed = body === undefined ? lines : [...lines, `Content-Length: ${body.length}`];
  if (chunked && body !== undefined) {
    const chunk = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    return readAnswer(socket, `${[...lines, 'Transfer-Encoding: chunked'].join('\r\n')}\r\n\r\n${chunk}`);
  }
  return readAnswer(socket, `${framed.join('\r\n')}\r\n\r\n${body ?? ''}`);
}

function readAnswer(socket: TLSSocket, sent: string): Promise<Got> {
  return new Promise((resolve) => {
    let [text, why, group, protocol] = ['', 'closed', '', ''];
    socket.setTimeout(20_000, () => socket.destroy(new Error('silent')));
    socket.once('secureConnect', () => {
      group = (socket.getEphemeralKeyInfo() as { name?: string }).name ?? '';
      protocol = socket.getProtocol() ?? '';
      socket.write(sent);
    });
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      // Some wait for a second before they close.
      if (isWhole(text)) socket.destroy();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => (why = error.code ?? error.message));
    socket.once('close', () => {
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0);
      if (status === 0) resolve({ kind: 'closed', why });
      else {
        const [top = '', body = ''] = text.split(/\r\n\r\n(.*)/s);
        const fields = new Map(
          top
            .split('\r\n')
            .slice(1)
            .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()] as const),
        );
        resolve({ kind: 'answer', status, fields, body, group, protocol, resumed: socket.isSessionReused() });
      }
    });
  });
}

function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n');
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(text.slice(0, end + 2))?.[1];
  return end !== -1 && length !== undefined && text.length >= end + 4 + Number(length);
}

/** One call of HTTP/2, on a connection for `SERVED`. */
export async function askHttp2(
  lab: RenderLab,
  port: number,
  {
    caller,
    authority = SERVED,
    head = {},
  }: { readonly caller: LabCredential; readonly authority?: string; readonly head?: OutgoingHttpHeaders },
): Promise<{ readonly status: number; readonly body: string }> {
  const session = connectHttp2(`https://127.0.0.1:${port}`, {
    servername: SERVED,
    ca: lab.rootPem,
    cert: caller.certPem,
    key: caller.keyPem,
  });
  try {
    const stream = session.request({ ':authority': authority, ':path': '/a', ...head });
    const [fields] = (await once(stream, 'response')) as [IncomingHttpHeaders & { readonly ':status': number }];
    return { status: fields[':status'], body: await text(stream) };
  } finally {
    session.destroy();
  }
}

/** True if the service itself answered. */
export function isServed(got: Got): boolean {
  return got.kind === 'answer' && got.status === 200 && got.body.includes('"served":true');
}

export function statusOf(got: Got): number | string {
  return got.kind === 'answer' ? got.status : 'closed';
}

/** What reached the service. */
export function receivedBy(got: Got): { readonly octets: number; readonly headers: { readonly [name: string]: string } } {
  assert.equal(isServed(got), true, JSON.stringify(got));
  const body = (got as { readonly body: string }).body;
  return JSON.parse(body.slice(body.indexOf('{'), body.lastIndexOf('}') + 1)) as ReturnType<typeof receivedBy>;
}

/** Octets in the clear, sent to a port that speaks TLS; what came back. */
export function askInTheClear(port: number, host = SERVED): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connectTcp(
      port,
      '127.0.0.1',
      () => void socket.write(`GET /a?b=c HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`),
    );
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (isWhole(text)) socket.destroy();
    });
    socket.on('error', () => {});
    socket.setTimeout(20_000, () => socket.destroy());
    socket.once('close', () => resolve(text));
  });
}

/** Who and what a configuration of mutual TLS for `SERVED` and one caller is held against. */
export type Examined = {
  readonly lab: RenderLab;
  readonly port: number;
  readonly good: LabCredential;
  readonly revoked: LabCredential;
  /** A lab of another authority. */
  readonly foreign: RenderLab;
};

/** What each of them got: `served`, a status, or `closed`. */
export async function examine({ lab, port, good, revoked, foreign }: Examined): Promise<{ readonly [what: string]: string }> {
  const over = (tls: ConnectionOptions): Asked => ({ caller: good, tls });
  const by = (...uris: readonly string[]): Asked => ({ caller: lab.client(uris) });
  const cases: { readonly [what: string]: Asked } = {
    'the caller': { caller: good },
    'no certificate': { caller: null },
    'another authority': { caller: foreign.client([ALLOWED]) },
    revoked: { caller: revoked },
    ended: { caller: lab.client([ALLOWED], { life: [-2 * DAY_MS, -DAY_MS] }) },
    'not begun': { caller: lab.client([ALLOWED], { life: [DAY_MS, 2 * DAY_MS] }) },
    'another caller': by('spiffe://acme.example/production/stranger'),
    'a caller in other letters': by(ALLOWED.replace('storefront', 'Storefront')),
    'a longer name': by(`${ALLOWED}-2`),
    'a name with a line feed': by(`${ALLOWED}\n`),
    'a dot that is none': by(ALLOWED.replace('acme.example', 'acmeXexample')),
    'two names': by('spiffe://acme.example/production/other', ALLOWED),
    'two names, the caller first': by(ALLOWED, 'spiffe://acme.example/production/other'),
    'no name': { caller: lab.client([]) },
    'a name planted in a key': { caller: plantedCaller(lab) },
    'TLS 1.2': over({ maxVersion: 'TLSv1.2' }),
    'TLS 1.3': over({ minVersion: 'TLSv1.3' }),
    'TLS 1.1': over({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }),
    'a suite of CBC': over({ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0' }),
    'an hybrid group': over({ ecdhCurve: 'X25519MLKEM768' }),
    'P-521': over({ ecdhCurve: 'P-521' }),
    'another name': over({ servername: 'other.acme.example' }),
    'no server name': over({ servername: '' }),
    'no server name and no certificate': { tls: { servername: '' } },
    'another host': { caller: good, host: 'other.acme.example' },
  };
  const got: { [what: string]: string } = {};
  for (const [what, asked] of Object.entries(cases)) {
    const answer = await ask(lab, port, asked);
    got[what] = isServed(answer) ? 'served' : String(statusOf(answer));
  }
  const clear = await askInTheClear(port);
  got['in the clear'] = clear.includes('"served":true') ? 'served' : 'refused';
  return got;
}

/** What a policy of TLS 1.2 and 1.3 with classic and hybrid groups promises; `unproved`: how this proxy turns away whom it cannot prove. */
export function promised(
  unproved: 'closed' | '400',
  change: { readonly [what: string]: string } = {},
): { readonly [what: string]: string } {
  return {
    'the caller': 'served',
    'no certificate': unproved,
    'another authority': unproved,
    revoked: unproved,
    ended: unproved,
    'not begun': unproved,
    'another caller': '403',
    'a caller in other letters': '403',
    'a longer name': '403',
    'a name with a line feed': '403',
    'a dot that is none': '403',
    'two names': '403',
    'two names, the caller first': '403',
    'no name': '403',
    'a name planted in a key': '403',
    'TLS 1.2': 'served',
    'TLS 1.3': 'served',
    'TLS 1.1': 'closed',
    'a suite of CBC': 'closed',
    'an hybrid group': 'served',
    'P-521': 'closed',
    'another name': 'closed',
    'no server name': 'closed',
    'no server name and no certificate': 'closed',
    'another host': '421',
    'in the clear': 'refused',
    ...change,
  };
}

/** Another caller, in whose key stands the whole extension that would name the allowed one. */
function plantedCaller(lab: RenderLab): LabCredential {
  const planted = subjectAltNameOf(ALLOWED);
  const caller = lab.client(['spiffe://acme.example/production/stranger'], { key: keyWithPlanted(planted) });
  assert.equal(Buffer.from(caller.certificate.der).includes(planted), true);
  return caller;
}

/** The extension as it stands in a certificate: identifier, octets, names, one URI. */
function subjectAltNameOf(uri: string): Buffer {
  return Buffer.concat([Buffer.from('0603551d11', 'hex'), wrap(0x04, wrap(0x30, wrap(0x86, Buffer.from(uri))))]);
}

function wrap(tag: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([tag, content.length]), content]);
}
