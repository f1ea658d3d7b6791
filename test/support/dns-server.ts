import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket as Connection } from 'node:net';
import { join } from 'node:path';

/** A record as the tests write it; `fail` makes the server answer SERVFAIL. */
export type TestRecord =
  | { readonly type: 'A'; readonly address: string }
  | { readonly type: 'TXT'; readonly text: string }
  | { readonly type: 'CAA'; readonly flags: number; readonly tag: string; readonly value: string }
  | { readonly type: 'fail' };

export type DnsServer = AsyncDisposable & {
  readonly address: string;
  readonly records: Map<string, TestRecord[]>;
  readonly asked: string[];
  /** Names whose answers do not fit into a datagram: over UDP they are empty and truncated. */
  readonly truncated: Set<string>;
  /** What was asked over TCP. */
  readonly askedByStream: string[];
  /** From now on nobody is answered over TCP. */
  refuseStreams(): void;
};

/**
 * A DNS server of exactly these records (RFC 1035), over UDP and TCP on loopback. With a folder, the lines of the file named after a name are its TXT records
 * too: that is how the hooks of other programs write here.
 */
export async function startDnsServer(folder?: string): Promise<DnsServer> {
  const socket = createSocket('udp4');
  const records = new Map<string, TestRecord[]>();
  const asked: string[] = [];
  const askedByStream: string[] = [];
  const truncated = new Set<string>();
  const answerTo = (message: Buffer, isDatagram: boolean): Buffer => {
    const { name, type, end } = readQuestion(message);
    asked.push(`${typeName(type)} ${name}`);
    if (!isDatagram) askedByStream.push(`${typeName(type)} ${name}`);
    const isTruncated = isDatagram && truncated.has(name);
    const file = folder === undefined ? '' : join(folder, name);
    const written =
      file !== '' && /^[a-z0-9_.-]+$/.test(name) && existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
    const held: TestRecord[] = [...(records.get(name) ?? []), ...written.map((text) => ({ type: 'TXT', text }) as const)];
    const failed = held.some((record) => record.type === 'fail');
    const answers =
      failed || isTruncated ? [] : held.filter((record) => record.type === typeName(type)).map((record) => encodeRecord(record, type));
    const rcode = failed ? 2 : held.length === 0 && !hasBelow(records, name) ? 3 : 0;
    const header = Buffer.alloc(12);
    header.writeUInt16BE(message.readUInt16BE(0), 0);
    // QR, AA, RD as asked, RA.
    header.writeUInt16BE(0x8480 | (isTruncated ? TRUNCATED : 0) | (message.readUInt16BE(2) & 0x0100) | rcode, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(answers.length, 6);
    return Buffer.concat([header, message.subarray(12, end), ...answers]);
  };
  socket.on('message', (message, from) => socket.send(answerTo(message, true), from.port, from.address));
  const stream = createServer((connection) => answerStream(connection, (message) => answerTo(message, false)));
  const port = await listenOnBoth(socket, stream);
  return {
    address: `127.0.0.1:${port}`,
    records,
    asked,
    truncated,
    askedByStream,
    refuseStreams: () => void stream.removeAllListeners('connection').on('connection', (connection: Connection) => connection.destroy()),
    async [Symbol.asyncDispose]() {
      stream.close();
      await closed(socket);
    },
  };
}

/** One port for both; a number that is free for TCP may be taken for UDP, then another is tried. */
async function listenOnBoth(socket: Socket, stream: Server): Promise<number> {
  for (let tries = 1; ; tries++) {
    stream.listen(0, '127.0.0.1');
    await once(stream, 'listening');
    const { port } = stream.address() as AddressInfo;
    try {
      const bound = once(socket, 'listening');
      socket.bind(port, '127.0.0.1');
      await bound;
      return port;
    } catch (error) {
      stream.close();
      if (tries === 10) throw error;
    }
  }
}

/** Over TCP each message is led by its length (RFC 1035 section 4.2.2). */
function answerStream(connection: Connection, answerTo: (message: Buffer) => Buffer): void {
  let held = Buffer.alloc(0);
  connection.on('error', () => connection.destroy());
  connection.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
      const end = 2 + held.readUInt16BE(0);
      const answer = answerTo(held.subarray(2, end));
      held = held.subarray(end);
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answer.length);
      connection.write(Buffer.concat([length, answer]));
    }
  });
}

async function closed(socket: Socket): Promise<void> {
  const end = once(socket, 'close');
  socket.close();
  await end;
}

function readQuestion(message: Buffer): { readonly name: string; readonly type: number; readonly end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = message[at]!; length > 0; length = message[at]!) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(at + 1), end: at + 5 };
}

function encodeRecord(record: TestRecord, type: number): Buffer {
  const data = dataOf(record);
  const head = Buffer.alloc(12);
  // A pointer to the name of the question.
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function dataOf(record: TestRecord): Buffer {
  switch (record.type) {
    case 'A':
      return Buffer.from(record.address.split('.').map(Number));
    case 'TXT':
      return Buffer.concat([Buffer.from([record.text.length]), Buffer.from(record.text)]);
    case 'CAA':
      return Buffer.concat([Buffer.from([record.flags, record.tag.length]), Buffer.from(record.tag + record.value)]);
    case 'fail':
      return Buffer.alloc(0);
    default:
      return record satisfies never;
  }
}

/** A name above a record exists (RFC 8020). */
function hasBelow(records: ReadonlyMap<string, unknown>, name: string): boolean {
  return [...records.keys()].some((held) => held.endsWith(`.${name}`));
}

function typeName(type: number): string {
  return { 1: 'A', 16: 'TXT', 28: 'AAAA', 257: 'CAA' }[type] ?? String(type);
}

/** The TC bit (RFC 1035 section 4.1.1). */
const TRUNCATED = 0x0200;
