import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { describe, test } from 'node:test';
import { createServer, type TlsOptions, type TLSSocket } from 'node:tls';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Origination, type OutboundSchema, PinMode, Protocol } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Outcome, Side } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { HOUR_MS } from '../../core/time/instant.ts';
import type { RefusalReason } from '../../core/tls/refusal-reason.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { type Clock, ManualClock, systemClock } from '../../platform/clock/clock.ts';
import type { SeenKeysOptions } from '../tls/seen-keys.ts';
import { pemOf } from '../../../test/support/endpoints.ts';
import { callInClear, identityOf, outboundTo, ProxyLab, STOREFRONT } from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority, type TestCredential, type TestLeaf } from '../../../test/support/test-authority.ts';

/** For suites whose key exchange is RSA. */
const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 });
const RSA_PEM = RSA.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
const NAME = 'api.processor.example';
type More = MessageInitShape<typeof OutboundSchema>;

type Processor = {
  readonly port: number;
  /** Application octets that came. */
  octets: number;
  readonly seen: {
    servername: string | false;
    alpn: string | false | null;
    version: string | null;
    suite: string;
    peer: string | undefined;
  }[];
  credential: TestCredential;
  readonly sockets: Set<Socket>;
};

/** A payment processor that is nobody of ours. */
async function serve(lab: ProxyLab, credential: TestCredential, options: TlsOptions = {}): Promise<Processor> {
  const sockets = new Set<Socket>();
  const server = createServer({ ...pemOf(credential), ALPNProtocols: ['http/1.1'], ...options }, (socket: TLSSocket) => {
    socket.on('error', () => {});
    const { servername = false, alpnProtocol } = socket as TLSSocket & { servername?: string | false };
    processor.seen.push({
      servername,
      alpn: alpnProtocol,
      version: socket.getProtocol(),
      suite: socket.getCipher().name,
      peer: socket.getPeerX509Certificate()?.subjectAltName,
    });
    socket.on('data', (chunk: Buffer) => {
      processor.octets += chunk.length;
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npaid');
    });
  });
  server.on('tlsClientError', () => {});
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  lab.onClose(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const processor: Processor = { port: (server.address() as AddressInfo).port, octets: 0, seen: [], credential, sockets };
  return processor;
}

const pinOf = ({ certificate }: TestCredential): Uint8Array => Buffer.from(certificate.spkiSha256, 'hex');
const strangePin = (text: string): Uint8Array => createHash('sha256').update(text).digest();

/** A lab whose own authority is not the one that the processor's certificate is of. */
async function open(leaf: TestLeaf = { dnsNames: [NAME] }, options: TlsOptions = {}, clock: Clock = systemClock, seen?: SeenKeysOptions) {
  const lab = new ProxyLab(STOREFRONT, undefined, clock, seen);
  const web = makeTestAuthority(clock.now(), 'Web');
  const processor = await serve(lab, web.issue(leaf), options);
  const apply = (more: More = {}) =>
    lab.apply({
      spiffeId: STOREFRONT,
      outbound: [outboundTo([processor.port], Origination.TLS, { serverName: NAME, serverAnchors: [web.root.der], ...more })],
    });
  const pay = () => callInClear(lab.portOf(0), 'POST /pay HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nConnection: close\r\n\r\ncard=4111');
  return { lab, web, processor, apply, pay };
}

const enforced = (...pins: readonly Uint8Array[]): More => ({ pins: [...pins], pinMode: PinMode.ENFORCE });

test('a processor is reached under its own name, by TLS 1.3, without a certificate of ours, and only by its pinned key', async () => {
  const { lab, processor, apply, pay } = await open(undefined, { requestCert: true, rejectUnauthorized: false });
  await using _ = lab;
  await apply(enforced(pinOf(processor.credential), strangePin('backup')));
  assert.match(await pay(), /paid/);
  const [seen] = processor.seen;
  const { suite: _suite, ...said } = seen!;
  assert.deepEqual(said, { servername: NAME, alpn: 'http/1.1', version: 'TLSv1.3', peer: undefined });
});

test('an authority can be pinned in place of the leaf', async () => {
  const { lab, web, apply, pay } = await open();
  await using _ = lab;
  await apply(enforced(Buffer.from(web.issuing.spkiSha256, 'hex'), strangePin('backup')));
  assert.match(await pay(), /paid/);
});

test('our own certificate is shown where that is declared, and the renewed one after a renewal', async () => {
  const { lab, processor, apply, pay } = await open(undefined, { requestCert: true, rejectUnauthorized: false });
  await using _ = lab;
  await apply({ showsCertificate: true });
  assert.match(await pay(), /paid/);
  assert.match(processor.seen[0]!.peer ?? '', new RegExp(STOREFRONT));
  const renewed = lab.authority.issue({ uris: [STOREFRONT], dnsNames: ['renewed.example'] });
  await lab.proxy.applyIdentity(identityOf(STOREFRONT, renewed, lab.authority));
  assert.match(await pay(), /paid/);
  assert.match(processor.seen[1]!.peer ?? '', /renewed/);
});

const tls12 = (ciphers: string, more: TlsOptions = {}): TlsOptions => ({
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  ciphers,
  ...more,
});

describe('not an octet of a call goes to a processor with', () => {
  const rsa = (): TestLeaf => ({ dnsNames: [NAME], publicKey: RSA.publicKey });
  const bad: readonly (readonly [string, RefusalReason, TestLeaf, TlsOptions, More?])[] = [
    ['an expired certificate', 'expired', { dnsNames: [NAME], notAfter: Date.now() - HOUR_MS / 2 }, {}],
    ['a certificate of tomorrow', 'not-yet-valid', { dnsNames: [NAME], notBefore: Date.now() + HOUR_MS }, {}],
    ['another name', 'wrong-identity', { dnsNames: ['api.evil.example'] }, {}],
    ['a name in which ours is only a part', 'wrong-identity', { dnsNames: [`${NAME}.evil.example`] }, {}],
    ['a wildcard of two labels', 'wrong-identity', { dnsNames: ['*.example'] }, {}],
    ['a certificate for clients', 'wrong-usage', { dnsNames: [NAME], usages: ['client'] }, {}],
    [
      'a chain to an anchor that was not given',
      'unknown-authority',
      { dnsNames: [NAME] },
      {},
      { serverAnchors: [makeTestAuthority(Date.now(), 'Other').root.der] },
    ],
    ['no key of the pinned', 'unpinned-key', { dnsNames: [NAME] }, {}, enforced(strangePin('a'), strangePin('b'))],
    ['TLS 1.1 only', 'tls-version', { dnsNames: [NAME] }, { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }],
    ['CBC suites only', 'tls-malformed', { dnsNames: [NAME] }, tls12('ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA@SECLEVEL=0')],
    ['suites without forward secrecy only', 'tls-malformed', rsa(), tls12('AES128-GCM-SHA256:AES256-GCM-SHA384', { key: RSA_PEM })],
  ];
  for (const [name, reason, leaf, options, more = {}] of bad) {
    test(name, async () => {
      const { lab, processor, apply, pay } = await open(leaf, options);
      await using _ = lab;
      assert.equal((await apply(more)).kind, 'accepted');
      const answer = await pay();
      assert.match(answer, /^HTTP\/1\.1 50/);
      assert.match(answer, new RegExp(`countersign-failure: ${reason}`, 'i'));
      assert.equal(processor.octets, 0);
    });
  }
});

test('pins are observed first: what they would refuse is counted, and goes on', async () => {
  const { lab, apply, pay } = await open();
  await using _ = lab;
  await apply({ pins: [strangePin('a'), strangePin('b')], pinMode: PinMode.OBSERVE });
  assert.match(await pay(), /paid/);
  const { counts = [] } = lab.proxy.takeReport();
  const would = counts.filter(({ side, outcome }) => side === Side.CALLER && outcome === Outcome.WOULD_REFUSE);
  assert.deepEqual(
    would.map(({ reason, count }) => [reason, count]),
    [['unpinned-key', 1n]],
  );
});

test('pins that would lock us out are not put in force, unless that is forced until a day that has not come', async () => {
  const { lab, processor, apply, pay } = await open();
  await using _ = lab;
  await apply();
  assert.match(await pay(), /paid/);
  const strange = enforced(strangePin('a'), strangePin('b'));
  const forced = (at: number): More => ({ ...strange, pinsForcedUntilMs: BigInt(at) });
  for (const [more, why] of [
    [strange, /none matches/],
    [forced(Date.now() - 1), /none matches/],
    // Both are of the chain that is served: the day it changes altogether nothing is left.
    [enforced(pinOf(processor.credential), certificateKey(processor, 1)), /backup/],
  ] as const) {
    const answer = await apply(more);
    assert.ok(answer.kind === 'refused' && why.test(answer.reason), JSON.stringify(answer));
    assert.match(await pay(), /paid/, 'what was in force is so still');
  }
  assert.equal((await apply(forced(Date.now() + HOUR_MS))).kind, 'accepted');
  assert.match(await pay(), /unpinned-key/);
  assert.equal((await apply(enforced(pinOf(processor.credential), strangePin('backup')))).kind, 'accepted');
  assert.match(await pay(), /paid/);
});

test('after a restart what was seen is known: the last good settings run whatever it is, and other pins have to match it', async () => {
  const remembered = new Map<string, ReadonlySet<string>>();
  const seen = { known: remembered, onNews: (endpointId: string, keys: ReadonlySet<string>) => void remembered.set(endpointId, keys) };
  const { lab, web, processor, apply, pay } = await open(undefined, {}, systemClock, seen);
  await using _ = lab;
  await apply();
  assert.match(await pay(), /paid/);
  assert.deepEqual(
    [...remembered.values()],
    [new Set(processor.credential.chain.map((_der, at) => hexOf(certificateKey(processor, at)))).add(web.root.spkiSha256)],
  );
  await using restarted = new ProxyLab(STOREFRONT, lab.authority, systemClock, { ...seen, known: new Map(remembered) });
  const strange = enforced(strangePin('a'), strangePin('b'));
  const settings = (more: More) => ({
    spiffeId: STOREFRONT,
    outbound: [outboundTo([processor.port], Origination.TLS, { serverName: NAME, serverAnchors: [web.root.der], ...more })],
  });
  const refused = await restarted.apply(settings(strange));
  assert.ok(refused.kind === 'refused' && /none matches/.test(refused.reason), JSON.stringify(refused));
  assert.equal((await restarted.apply(settings(strange), { isLastGood: true })).kind, 'accepted');
  assert.equal((await restarted.apply(settings({ ...strange, drainMs: 301 }))).kind, 'accepted', 'who speaks as before is not asked');
  assert.equal((await restarted.apply(settings(enforced(strangePin('c'), strangePin('d'))))).kind, 'refused');
  assert.equal((await restarted.apply(settings(enforced(pinOf(processor.credential), strangePin('backup'))))).kind, 'accepted');
});

describe('a server that speaks no better than TLS 1.0', () => {
  const until = Date.now() + HOUR_MS;
  const old: TlsOptions = { minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' };
  const excepted = (at = until, minimumVersion = 0x0301): More => ({
    oldTls: { minimumVersion, untilMs: BigInt(at), exception: 'mainframe' },
  });

  test('is reached while its exception lasts, and proves itself all the same', async () => {
    const { lab, processor, apply, pay } = await open(undefined, old);
    await using _ = lab;
    await apply(excepted());
    assert.match(await pay(), /paid/);
    assert.equal(processor.seen[0]!.version, 'TLSv1');
    const wrong = await open({ dnsNames: ['evil.example'] }, old);
    await using _wrong = wrong.lab;
    await wrong.apply(excepted());
    assert.match(await wrong.pay(), /wrong-identity/);
    assert.equal(wrong.processor.octets, 0);
  });

  test('is refused without an exception, under one for TLS 1.1, and with a suite that no exception allows', async () => {
    const cases: readonly (readonly [TlsOptions, More, RefusalReason])[] = [
      [old, {}, 'tls-version'],
      [old, excepted(until, 0x0302), 'tls-version'],
      [{ ...old, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: 'AECDH-AES128-SHA@SECLEVEL=0' }, excepted(), 'tls-malformed'],
    ];
    for (const [options, more, reason] of cases) {
      const { lab, processor, apply, pay } = await open(undefined, options);
      await using _ = lab;
      await apply(more);
      assert.match(await pay(), new RegExp(`countersign-failure: ${reason}`, 'i'));
      assert.equal(processor.octets, 0);
    }
  });

  test('is refused by the proxy itself from the end of the exception on, open connections included', async () => {
    const clock = new ManualClock(Date.now());
    const { lab, processor, apply, pay } = await open(undefined, old, clock);
    await using _ = lab;
    await apply(excepted(clock.now() + 150));
    assert.match(await pay(), /paid/);
    const [socket] = processor.sockets;
    const closed = once(socket!, 'close');
    // Nobody says anything to the proxy: its own clock does.
    clock.advance(150);
    await closed;
    assert.match(await pay(), /countersign-failure: exception-ended/i);
    assert.equal(processor.seen.length, 1);
  });

  test('speaks TLS 1.2 by suites of old where the exception says so', async () => {
    const { lab, processor, apply, pay } = await open(
      { dnsNames: [NAME], publicKey: RSA.publicKey },
      { ...old, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA@SECLEVEL=0', key: RSA_PEM },
    );
    await using _ = lab;
    await apply(excepted(until, 0x0303));
    assert.match(await pay(), /paid/);
    assert.equal(processor.seen[0]!.suite, 'AES128-SHA');
  });
});

test('settings are refused whose pins or exception say too little', async () => {
  const { lab, apply } = await open();
  await using _ = lab;
  const bad: readonly More[] = [
    { pins: [strangePin('a')], pinMode: PinMode.ENFORCE },
    { pins: [strangePin('a'), strangePin('a')], pinMode: PinMode.ENFORCE },
    { pins: [strangePin('a'), strangePin('b')] },
    { pins: [strangePin('a'), strangePin('b')], pinMode: 9 as PinMode },
    { pins: [strangePin('a'), Buffer.alloc(20)], pinMode: PinMode.OBSERVE },
    { pinMode: PinMode.OBSERVE },
    { oldTls: { minimumVersion: 0x0300, untilMs: 1n, exception: 'x' } },
    { oldTls: { minimumVersion: 0x0304, untilMs: 1n, exception: 'x' } },
    { oldTls: { minimumVersion: 0x0301, untilMs: 0n, exception: 'x' } },
    { oldTls: { minimumVersion: 0x0301, untilMs: 1n, exception: '' } },
  ];
  for (const more of bad)
    assert.equal(
      (await apply({ ...more, protocol: Protocol.HTTP })).kind,
      'refused',
      JSON.stringify(more, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
    );
});

function certificateKey({ credential }: Processor, index: number): Uint8Array {
  return Buffer.from(parseCertificate(credential.chain[index]!).spkiSha256, 'hex');
}

function hexOf(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex');
}
