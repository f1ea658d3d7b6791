import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { Secret } from '../secrets/secret.ts';
import { encodeDomainName, readDomainName } from './domain-name.ts';
import { type SignatureAlgorithm, signMessage, type TransactionKey, verifyAnswer } from './transaction-signature.ts';
import { buildTxtUpdate, readUpdateAnswer } from './update-message.ts';

const NOW = Date.UTC(2026, 10, 28);
const keyOf = (
  change: { readonly name?: string; readonly algorithm?: SignatureAlgorithm; readonly octet?: number } = {},
): TransactionKey => {
  const { name = 'key.example', algorithm = 'hmac-sha256', octet = 7 } = change;
  return { name, algorithm, secret: new Secret<Uint8Array>(new Uint8Array(32).fill(octet)) };
};
const update = { zone: 'acme.test', name: '_acme-challenge.Acme.test', value: 'v', ttlSeconds: 60 } as const;
const request = signMessage(NOW, buildTxtUpdate(4_660, { action: 'present', ...update }), keyOf());

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const two = (value: number): string => value.toString(16).padStart(4, '0');
const octets = (action: 'present' | 'remove') => buildTxtUpdate(4_660, { action, ...update }).toString('hex');

/** What a server would answer, made without anything of ours: RFC 8945 sections 4.2, 4.3 and 5.3. */
function answerOf({ rcode = 0, seconds = NOW / 1_000, error = 0, truncate = 0, mac = request.mac, key = keyOf() } = {}): Buffer {
  const wireName = '036b6579 076578616d706c65 00';
  const wireAlgorithm = '0b 686d61632d736861323536 00';
  const time = seconds.toString(16).padStart(12, '0');
  const bare = hex(`1234 ${two(0xa800 | rcode)} 0001 0000 0000 0000  0461636d65 0474657374 00 0006 0001`);
  const hmac = createHmac('sha256', key.secret.reveal())
    .update(hex(two(mac.length)))
    .update(mac)
    .update(bare);
  hmac.update(hex(`${wireName} 00ff 00000000 ${wireAlgorithm} ${time} 012c ${two(error)} 0000`));
  const signature = hmac.digest().subarray(truncate).toString('hex');
  const data = hex(`${wireAlgorithm} ${time} 012c ${two(signature.length / 2)} ${signature} 1234 ${two(error)} 0000`);
  const signed = Buffer.concat([bare, hex(`${wireName} 00fa 00ff 00000000 ${two(data.length)}`), data]);
  signed.writeUInt16BE(1, 10);
  return signed;
}

const judge = (answer: Buffer, now = NOW, key = keyOf()) => verifyAnswer(now, answer, request, key);

test('an update adds one record to its set, or takes exactly it out of it', () => {
  const name = '0f 5f61636d652d6368616c6c656e6765 0461636d65 0474657374 00';
  const head = '1234 2800 0001 0000 0001 0000 0461636d65 0474657374 00 0006 0001';
  assert.equal(octets('present'), `${head} ${name} 0010 0001 0000003c 0002 01 76`.replaceAll(' ', ''));
  assert.equal(octets('remove'), `${head} ${name} 0010 00fe 00000000 0002 01 76`.replaceAll(' ', ''));
});

test('an answer by our key to our request is genuine, and its code is read', () => {
  for (const rcode of [0, 5, 9]) {
    assert.deepEqual(judge(answerOf({ rcode })), { kind: 'genuine', error: 0 });
    assert.equal(readUpdateAnswer(answerOf({ rcode }), 4_660), rcode);
  }
  assert.deepEqual(judge(answerOf({ error: 18, seconds: NOW / 1_000 })), { kind: 'genuine', error: 18 });
  assert.equal(readUpdateAnswer(answerOf(), 4_661), null, 'to another question');
  assert.equal(readUpdateAnswer(request.message, 4_660), null, 'a question');
});

test('anything else is forged: another key, request or time, a shorter signature, none', () => {
  const cases: readonly (readonly [string, () => Buffer, RegExp])[] = [
    ['another secret', () => answerOf({ key: keyOf({ octet: 8 }) }), /signature is wrong/],
    ['to another request', () => answerOf({ mac: Buffer.alloc(32) }), /signature is wrong/],
    ['half of the signature', () => answerOf({ truncate: 16 }), /signature is wrong/],
    ['no signature', () => answerOf({ truncate: 32 }), /signature is wrong/],
    ['of an hour ago', () => answerOf({ seconds: NOW / 1_000 - 3_600 }), /another time/],
    ['of tomorrow', () => answerOf({ seconds: NOW / 1_000 + 86_400 }), /another time/],
    ['unsigned', () => answerOf().subarray(0, 27), /not signed/],
    ['empty', () => Buffer.alloc(0), /not signed/],
    ['with an octet behind it', () => Buffer.concat([answerOf(), Buffer.alloc(1)]), /not signed/],
  ];
  for (const [what, make, reason] of cases) {
    const verdict = judge(make());
    assert.ok(verdict.kind === 'forged' && reason.test(verdict.reason), what);
  }
  for (const key of [keyOf({ name: 'other.example' }), keyOf({ algorithm: 'hmac-sha512' })])
    assert.deepEqual(judge(answerOf(), NOW, key), { kind: 'forged', reason: 'it is signed by another key or algorithm' });
});

test('no octet of an answer can be changed but those that nothing depends on, and no length of it makes a fault', () => {
  const good = answerOf();
  for (let at = 0; at < good.length; at++) {
    for (const bit of [0x01, 0x20, 0x80, 0xff]) {
      const bent = Buffer.from(good);
      bent[at]! ^= bit;
      const verdict = judge(bent);
      // The id on the wire: the record has the one that was signed (RFC 8945 section 5.3.1). Case of a name, which is no part of it.
      const isLetter = bit === 0x20 && /[a-z]/i.test(String.fromCharCode(good[at]!));
      if (at > 1 && !isLetter) assert.equal(verdict.kind, 'forged', `octet ${at} by ${bit}`);
    }
    assert.equal(judge(good.subarray(0, at)).kind, 'forged', `${at} octets`);
  }
});

test('noise is forged, whatever it counts', () => {
  let state = 20_261_128;
  const octet = (): number => ((state = (state * 1_103_515_245 + 12_345) % 2 ** 31) >>> 16) & 0xff;
  const good = answerOf();
  for (let round = 0; round < 5_000; round++) {
    const noise = round % 2 === 0 ? Buffer.from(Array.from({ length: octet() }, octet)) : Buffer.from(good);
    for (let changes = octet() % 8; changes >= 0; changes--) if (noise.length > 12) noise[2 + (octet() % (noise.length - 2))] = octet();
    if (!noise.subarray(2).equals(good.subarray(2)) && noise.toString('latin1').toLowerCase() !== good.toString('latin1').toLowerCase())
      assert.equal(judge(noise).kind, 'forged', noise.toString('hex'));
  }
});

test('names: lower case, labels of 1 to 63, 253 characters; pointers go back and end', () => {
  assert.equal(encodeDomainName('_A.b').toString('hex'), '025f61016200');
  for (const bad of ['', '.', 'a..b', 'a.', '-a.b', 'a b', 'é', '*.a', 'x'.repeat(64), `${'a.'.repeat(127)}a`])
    assert.throws(() => encodeDomainName(bad), { code: 'identity-malformed' }, bad);
  const message = Buffer.from('01610001 62c000c004c009'.replaceAll(' ', ''), 'hex');
  assert.deepEqual(readDomainName(message, 3), { wire: Buffer.from('0162016100', 'hex'), end: 7 });
  assert.equal(readDomainName(message, 9), null, 'to itself');
  assert.equal(readDomainName(message, 100), null);
  for (const bad of ['c0', '40', '0161', '05616263', 'c000']) assert.equal(readDomainName(Buffer.from(bad, 'hex'), 0), null, bad);
  const long = Buffer.concat([...Array.from({ length: 128 }, () => Buffer.from('0161', 'hex')), Buffer.of(0)]);
  assert.equal(readDomainName(long, 0), null, 'more than 255 octets');
});
