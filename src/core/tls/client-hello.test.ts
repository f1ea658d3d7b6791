import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ClientHelloReading, readClientHello } from './client-hello.ts';

const u16 = (value: number): number[] => [value >> 8, value & 255];
const vector16 = (octets: readonly number[]): number[] => [...u16(octets.length), ...octets];
const vector8 = (octets: readonly number[]): number[] => [octets.length, ...octets];
const ascii = (text: string): number[] => [...Buffer.from(text, 'latin1')];
const extension = (type: number, body: readonly number[]): number[] => [...u16(type), ...vector16(body)];
const serverName = (...names: readonly string[]): number[] =>
  extension(0, vector16(names.flatMap((name) => [0, ...vector16(ascii(name))])));
const alpn = (...names: readonly string[]): number[] => extension(16, vector16(names.flatMap((name) => vector8(ascii(name)))));
const versions = (...list: readonly number[]): number[] => extension(43, vector8(list.flatMap(u16)));

type Parts = {
  readonly suites?: number[];
  readonly sessionId?: number[];
  readonly compression?: number[];
  readonly extensions?: number[] | null;
  readonly after?: number[];
};

function body({ suites = [0x13, 0x01], sessionId = [], compression = [0], extensions = [], after = [] }: Parts = {}): number[] {
  const random = Array.from({ length: 32 }, (_, i) => i);
  return [
    3,
    3,
    ...random,
    ...vector8(sessionId),
    ...vector16(suites),
    ...vector8(compression),
    ...(extensions ? vector16(extensions) : []),
    ...after,
  ];
}

const message = (octets: readonly number[], type = 1): number[] => [
  type,
  octets.length >> 16,
  (octets.length >> 8) & 255,
  octets.length & 255,
  ...octets,
];
const record = (octets: readonly number[], type = 22, major = 3): number[] => [type, major, 1, ...u16(octets.length), ...octets];
const hello = (parts?: Parts): Uint8Array => Uint8Array.from(record(message(body(parts))));
const read = (...octets: readonly number[]): ClientHelloReading => readClientHello(Uint8Array.from(octets));

const full = [
  ...serverName('orders.acme.test'),
  ...alpn('h2', 'http/1.1'),
  ...versions(0x0304, 0x0303),
  ...extension(10, vector16([0x11, 0xec, 0, 29])),
  ...extension(35, []),
];

test('readClientHello() reads what the client offers', () => {
  const reading = readClientHello(hello({ extensions: full, sessionId: [1, 2, 3] }));
  assert.ok(reading.kind === 'complete');
  assert.deepEqual(
    { ...reading.hello, random: reading.hello.random.length },
    {
      versions: [0x0304, 0x0303],
      sni: 'orders.acme.test',
      alpn: ['h2', 'http/1.1'],
      groups: [0x11ec, 29],
      suites: [0x1301],
      random: 32,
      sessionIdLength: 3,
      hasTicket: false,
      ticketKeyName: null,
      asksForStatus: false,
      hasEncryptedHello: false,
    },
  );
  assert.equal(reading.length, hello({ extensions: full, sessionId: [1, 2, 3] }).length);
});

test('readClientHello() knows hellos without extensions, and tickets that are offered', () => {
  const bare = readClientHello(hello({ extensions: null }));
  assert.ok(bare.kind === 'complete');
  assert.deepEqual([bare.hello.versions, bare.hello.sni, bare.hello.alpn], [[0x0303], null, []]);
  for (const offered of [extension(35, [1]), extension(41, [0, 0])]) {
    const reading = readClientHello(hello({ extensions: offered }));
    assert.ok(reading.kind === 'complete' && reading.hello.hasTicket);
  }
});

const asks = (octets: number[]): boolean => {
  const reading = readClientHello(hello({ extensions: extension(5, octets) }));
  return reading.kind === 'complete' && reading.hello.asksForStatus;
};

test('readClientHello() knows who wants the status by OCSP stapled, and nobody who wants it in another form', () => {
  assert.equal(asks([1, 0, 0, 0, 0]), true);
  assert.equal(asks([2, 0, 0, 0, 0]), false);
  assert.equal(asks([]), false);
});

test('readClientHello() knows the key of the ticket offered by its first 16 octets, in both versions', () => {
  const ticket = Array.from({ length: 40 }, (_, index) => index);
  const psk = [0, 46, 0, 40, ...ticket, 0, 0, 0, 0, 0, 33, 32, ...Array.from({ length: 32 }, () => 9)];
  for (const [offered, name] of [
    [extension(35, ticket), ticket.slice(0, 16)],
    [extension(41, psk), ticket.slice(0, 16)],
    [[...extension(35, []), ...extension(41, psk)], ticket.slice(0, 16)],
    [extension(35, ticket.slice(0, 15)), null],
    [extension(41, [0, 7, 0, 1, 5, 0, 0, 0, 0, 0, 0]), null],
  ] as const) {
    const reading = readClientHello(hello({ extensions: [...offered] }));
    assert.ok(reading.kind === 'complete');
    assert.deepEqual(reading.hello.ticketKeyName && [...reading.hello.ticketKeyName], name);
  }
  assert.equal(readClientHello(hello({ extensions: extension(41, [0, 7, 0, 200, 5, 0, 0, 0, 0]) })).kind, 'malformed');
});

test('readClientHello() tells that a hello may have another inside, and takes one of 32 KiB', () => {
  const reading = readClientHello(hello({ extensions: [...serverName('outer.acme.test'), ...extension(0xfe0d, [0, 0])] }));
  assert.ok(reading.kind === 'complete' && reading.hello.hasEncryptedHello && reading.hello.sni === 'outer.acme.test');
  const split = (octets: readonly number[]): number[] =>
    octets.length <= 16_384 ? record(octets) : [...record(octets.slice(0, 16_384)), ...split(octets.slice(16_384))];
  const padded = (length: number) =>
    readClientHello(
      Uint8Array.from(
        split(
          message(
            body({
              extensions: extension(
                21,
                Array.from({ length }, () => 0),
              ),
            }),
          ),
        ),
      ),
    );
  assert.equal(padded(32_600).kind, 'complete');
  assert.equal(padded(32_800).kind, 'malformed');
});

test('every beginning of a hello is incomplete, and what follows it is left alone', () => {
  const octets = hello({ extensions: full });
  for (let length = 0; length < octets.length; length++)
    assert.equal(readClientHello(octets.subarray(0, length)).kind, 'incomplete', String(length));
  const reading = readClientHello(Uint8Array.from([...octets, 23, 3, 3, 0, 1, 0]));
  assert.ok(reading.kind === 'complete' && reading.length === octets.length);
});

test('a hello in several records is put together', () => {
  const octets = message(body({ extensions: full }));
  for (const size of [octets.length - 1, 100, 7, 4]) {
    const records: number[] = [];
    for (let at = 0; at < octets.length; at += size) records.push(...record(octets.slice(at, at + size)));
    const reading = read(...records);
    assert.ok(reading.kind === 'complete', String(size));
    assert.equal(reading.hello.sni, 'orders.acme.test');
    assert.equal(reading.length, records.length);
    assert.equal(readClientHello(Uint8Array.from(records.slice(0, -1))).kind, 'incomplete');
  }
  const crumbs = octets.flatMap((octet) => record([octet]));
  assert.equal(read(...crumbs).kind, 'malformed', 'records of one octet');
});

test('readClientHello() refuses what is not TLS at its first octets', () => {
  for (const octets of [
    ascii('GET / HTTP/1.1'),
    [0x80, 0x2e, 1],
    [21],
    [23],
    [22, 2],
    [22, 0],
    [0x16, 0x03, 0x01, 0, 0],
    [22, 3, 1, 0x40, 1],
    record([2, 0, 0, 0]),
  ]) {
    assert.equal(read(...octets).kind, 'malformed', octets.join(' '));
  }
  assert.equal(
    read(...record(message(body()), 22).slice(0, 5), 2).kind,
    'malformed',
    'another handshake message, before its record is whole',
  );
});

test('readClientHello() refuses hellos whose fields do not add up', () => {
  const refused: Readonly<Record<string, Uint8Array>> = {
    'no suite': hello({ suites: [] }),
    'half a suite': hello({ suites: [0x13, 0x01, 0x13] }),
    'no compression method': hello({ compression: [] }),
    'session id of 33 octets': hello({ sessionId: Array.from({ length: 33 }, () => 0) }),
    'octets after the extensions': hello({ after: [0] }),
    'an extension cut': hello({ extensions: [0, 0, 0, 5, 1] }),
    'an extension twice': hello({ extensions: [...alpn('h2'), ...alpn('h2')] }),
    'two server names': hello({ extensions: serverName('a.test', 'b.test') }),
    'an empty server name': hello({ extensions: serverName('') }),
    'a server name with a control character': hello({ extensions: serverName('a\n.test') }),
    'a server name above 7f': hello({ extensions: serverName('b\xfc.test') }),
    'a server name of 256 octets': hello({ extensions: serverName('a'.repeat(256)) }),
    'octets after the server names': hello({ extensions: extension(0, [...vector16([]), 1]) }),
    'an empty protocol name': hello({ extensions: alpn('') }),
    'half a version': hello({ extensions: extension(43, vector8([3])) }),
    'half a group': hello({ extensions: extension(10, vector16([1])) }),
    'octets after the hello in its record': Uint8Array.from(record([...message(body()), 0])),
    'an empty hello': Uint8Array.from(record(message([]))),
    'a hello of 64 KiB': Uint8Array.from(record([1, 1, 0, 0])),
  };
  for (const [name, octets] of Object.entries(refused)) assert.equal(readClientHello(octets).kind, 'malformed', name);
});

test('random octets, also as changes of a good hello, never throw', () => {
  const good = hello({ extensions: full });
  const changed = fc
    .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    .map((changes) => changes.reduce((octets, [at, octet]) => octets.fill(octet, at, at + 1), good.slice()));
  const framed = fc.uint8Array({ minLength: 1, maxLength: 200 }).map((octets) => Uint8Array.from(record(message([...octets]))));
  fc.assert(
    fc.property(fc.oneof(changed, framed, fc.uint8Array({ maxLength: 200 })), (octets) => {
      assert.ok(['complete', 'incomplete', 'malformed'].includes(readClientHello(octets).kind));
    }),
    { numRuns: 2_000 },
  );
});
