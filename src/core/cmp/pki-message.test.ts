import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { clientMessage, confirmationBody, requestBody } from '../../../test/support/cmp-client.ts';
import { contextConstructed, tags } from '../x509/der.ts';
import {
  bitString,
  constructed,
  type DerNode,
  encodeDer,
  explicit,
  octetString,
  oid,
  primitive,
  raw,
  sequence,
  smallInteger,
} from '../x509/der-writer.ts';
import { buildName } from '../x509/name.ts';
import { oids } from '../x509/oid.ts';
import { readCertificateRequestMessages } from './certificate-request-message.ts';
import { MAXIMUM_EXTRA_CERTIFICATES, MAXIMUM_ITEMS, MAXIMUM_NONCE_OCTETS } from './cmp-limits.ts';
import { pkiHeaderNode } from './pki-header.ts';
import { assemblePkiMessage, readPkiMessage, unprotectedMessage } from './pki-message.ts';
import { pkiFailures, pkiStatuses, pkiStatusInfoNode, readPkiStatusInfo } from './pki-status.ts';
import { provePossession } from './prove-possession.ts';
import { readConfirmations, readPolls } from './read-bodies.ts';
import { DerReader } from '../x509/der.ts';

const at = Date.UTC(2026, 10, 1);
const by = { kind: 'pbm', reference: 'token_1', secret: 's' } as const;
const message = (content: DerNode = sequence(), options: Partial<Parameters<typeof clientMessage>[3]> = {}): Uint8Array =>
  new Uint8Array(clientMessage('genm', content, by, { at, ...options }));

test('a message that is written is read as it was, whatever it holds', () => {
  const octets = fc.uint8Array({ minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(
      octets,
      octets,
      fc.option(octets),
      fc.option(octets),
      fc.constantFrom('ip', 'error', 'pkiconf'),
      (id, nonce, other, keyId, kind) => {
        const name = buildName([[oids.commonName, 'CMP']]);
        const header = pkiHeaderNode({
          version: 2,
          sender: name,
          recipient: buildName([]),
          messageTime: at,
          protectionAlgorithm: null,
          senderKeyId: keyId,
          transactionId: id,
          senderNonce: nonce,
          recipientNonce: other,
          info: [],
        });
        const unprotected = unprotectedMessage(header, kind, sequence(octetString(id)));
        const read = readPkiMessage(assemblePkiMessage(unprotected, nonce, []));
        assert.deepEqual(Buffer.from(read.protectedPart), Buffer.from(unprotected.protectedPart));
        assert.deepEqual([read.kind, read.header.messageTime, read.header.sender?.text], [kind, at, 'CN=CMP']);
        assert.deepEqual(Buffer.from(read.header.transactionId!), Buffer.from(id));
        assert.deepEqual(read.header.recipientNonce === null, other === null);
        assert.deepEqual(Buffer.from(read.protection!), Buffer.from(nonce));
      },
    ),
  );
});

test('every status and every failure comes back as it went', () => {
  for (const status of pkiStatuses)
    for (const failure of [undefined, ...pkiFailures]) {
      const info = failure === undefined ? { status } : { status, failure };
      assert.deepEqual(readPkiStatusInfo(DerReader.over(encodeDer(pkiStatusInfoNode(info)))), info);
    }
});

test('octets that are no message, cut messages and messages with more behind them are malformed', () => {
  const good = message();
  readPkiMessage(good);
  for (let length = 0; length < good.length; length++)
    assert.throws(() => readPkiMessage(good.subarray(0, length)), { code: 'der-malformed' });
  assert.throws(() => readPkiMessage(Buffer.concat([good, Buffer.of(0)])), { code: 'der-malformed' });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
      try {
        readPkiMessage(octets);
        assert.fail('random octets are no message');
      } catch (error) {
        assert.equal((error as { readonly code?: string }).code, 'der-malformed');
      }
    }),
  );
});

test('each limit is refused one beyond it', () => {
  const nested = (depth: number): DerNode => (depth === 0 ? sequence() : sequence(nested(depth - 1)));
  const certificate = encodeDer(sequence());
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ['octets', message(octetString(Buffer.alloc(131_072)))],
    ['a transaction ID', message(sequence(), { transactionId: randomBytes(MAXIMUM_NONCE_OCTETS + 1) })],
    ['items of information', message(sequence(), { info: Array.from({ length: MAXIMUM_ITEMS + 1 }, () => sequence(oid('1.2.3'))) })],
    ['certificates', message(sequence(), { extraCertificates: Array.from({ length: MAXIMUM_EXTRA_CERTIFICATES + 1 }, () => certificate) })],
    ['another body', encodeDer(sequence(raw(headerOf(message())), explicit(27, sequence())))],
    ['a high tag', Buffer.concat([Buffer.of(0x30, 0x05, 0xbf, 0x1f, 0x02, 0x30, 0x00)])],
  ];
  for (const [what, octets] of cases) assert.throws(() => readPkiMessage(octets), { code: 'der-malformed' }, what);
  const requests = (count: number): Uint8Array => encodeDer(sequence(...Array.from({ length: count }, () => raw(single))));
  const single = encodeDer((requestBody(generateKeyPairSync('ec', { namedCurve: 'P-256' })).content as readonly DerNode[])[0]!);
  assert.equal(readCertificateRequestMessages(requests(MAXIMUM_ITEMS)).length, MAXIMUM_ITEMS);
  assert.throws(() => readCertificateRequestMessages(requests(MAXIMUM_ITEMS + 1)), { code: 'der-malformed' });
  const [status] = confirmationBody(Buffer.of(1)).content as readonly DerNode[];
  const statuses = encodeDer(sequence(...Array.from({ length: MAXIMUM_ITEMS + 1 }, () => status!)));
  assert.throws(() => readConfirmations(statuses), { code: 'der-malformed' });
  assert.throws(() => readPolls(encodeDer(sequence(sequence(smallInteger(2 ** 40))))), { code: 'der-malformed' });
  // A body is taken as it is; whoever reads it finds the limit.
  const deep = readPkiMessage(message(nested(40)));
  assert.throws(() => readCertificateRequestMessages(deep.body), { code: 'der-malformed' });
});

test('a proof of possession is of exactly the request that was signed', () => {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const good = encodeDer(requestBody(key, { names: { dns: ['a.example'] } }));
  const [asked] = readCertificateRequestMessages(good);
  const possession = provePossession(asked!);
  assert.ok(possession.kind === 'proved');
  assert.deepEqual(possession.csr.subjectAltNames.dns, ['a.example']);
  const at0 = Buffer.from(good).indexOf('a.example');
  const changed = good.slice();
  changed[at0] = 'b'.charCodeAt(0);
  const [other] = readCertificateRequestMessages(changed);
  assert.deepEqual([provePossession(other!).kind], ['refused']);
  for (const generated of [generateKeyPairSync('ed25519'), generateKeyPairSync('rsa', { modulusLength: 2_048 })])
    assert.equal(provePossession(readCertificateRequestMessages(encodeDer(requestBody(generated)))[0]!).kind, 'proved');
});

test('keys that cannot be used, or cost too much to try, are malformed', () => {
  const huge = Buffer.concat([Buffer.of(0), Buffer.alloc(2_048, 0xff)]);
  const modulus = encodeDer(sequence(primitive(tags.integer, huge), smallInteger(65_537)));
  const cases: readonly (readonly [string, readonly DerNode[], Uint8Array])[] = [
    ['RSA of 16384 bits', [oid(oids.rsaEncryption), raw(Uint8Array.of(tags.null, 0))], modulus],
    ['a point off its curve', [oid(oids.ecPublicKey), oid(oids.p256)], Buffer.concat([Buffer.of(4), Buffer.alloc(64)])],
    ['an unknown algorithm', [oid('1.2.3.4')], Buffer.alloc(32, 7)],
  ];
  for (const [what, algorithm, key] of cases) {
    const field = constructed(contextConstructed(6), [sequence(...algorithm), bitString(key)]);
    const request = encodeDer(sequence(sequence(sequence(smallInteger(0), sequence(field)))));
    assert.throws(() => readCertificateRequestMessages(request), { code: 'der-malformed' }, what);
  }
});

/** The header of a message, DER. */
function headerOf(octets: Uint8Array): Uint8Array {
  return DerReader.over(octets).enter(tags.sequence).element();
}
