import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeTestAuthority } from '../../../test/support/test-authority.ts';
import { missing, runProgram } from '../../../test/support/peer-program.ts';
import { assembleSignedData, buildSignedAttributes } from '../../core/cms/build-signed-data.ts';
import { type ContentCipher, contentCiphers, parseEnvelopedData } from '../../core/cms/enveloped-data.ts';
import { parseSignedData, verifySignedData } from '../../core/cms/signed-data.ts';
import { Problem } from '../../core/problems/problem.ts';
import { Secret } from '../../core/secrets/secret.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { makeTransportKey } from '../signer/transport-key.ts';
import { sealEnvelope } from './seal-envelope.ts';

const scratch = mkdtempSync(join(tmpdir(), 'countersign-cms-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const file = (name: string): string => join(scratch, name);
const content = Buffer.from('what is said');

const authority = makeTestAuthority(Date.now());
function credential() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  const { certificate } = authority.issue({ dnsNames: ['a.example'], publicKey: createPublicKey(privateKey) });
  return {
    privateKey,
    certificate,
    transport: makeTransportKey(new Secret<Uint8Array>(privateKey.export({ type: 'pkcs8', format: 'der' }))),
  };
}
const ours = credential();
writeFileSync(file('key.pem'), ours.privateKey.export({ type: 'pkcs8', format: 'pem' }));
writeFileSync(file('cert.pem'), encodePem('CERTIFICATE', ours.certificate.der));
writeFileSync(file('ca.pem'), [authority.root, authority.issuing].map(({ der }) => encodePem('CERTIFICATE', der)).join(''));
writeFileSync(file('content'), content);

async function openssl(...args: readonly string[]): Promise<Buffer> {
  const { code, stderr } = await runProgram('openssl', ['cms', ...args, '-out', file('out')]);
  assert.equal(code, 0, stderr);
  return readFileSync(file('out'));
}

const sign = (digest: string, ...more: readonly string[]) =>
  openssl(
    '-sign',
    '-binary',
    '-nodetach',
    '-in',
    file('content'),
    '-signer',
    file('cert.pem'),
    '-inkey',
    file('key.pem'),
    '-outform',
    'DER',
    '-md',
    digest,
    ...more,
  );

const seal = async (cipher: string) =>
  parseEnvelopedData(
    await openssl('-encrypt', '-binary', '-in', file('content'), '-outform', 'DER', `-${cipher}`, '-recip', file('cert.pem')),
  );

const refuses = (parse: (der: Uint8Array) => unknown, der: Uint8Array): void =>
  assert.throws(
    () => parse(der),
    (error) => error instanceof Problem && error.code === 'der-malformed',
  );

async function signed(): Promise<Uint8Array> {
  const attributes = buildSignedAttributes(content, []);
  return assembleSignedData({ content, signer: ours.certificate, attributes, signature: await ours.transport.signMessage(attributes) });
}

test('openssl verifies what we sign', { skip: missing('openssl') }, async () => {
  writeFileSync(file('signed.der'), await signed());
  const verified = await openssl(
    '-verify',
    '-inform',
    'DER',
    '-in',
    file('signed.der'),
    '-CAfile',
    file('ca.pem'),
    '-purpose',
    'any',
    '-binary',
  );
  assert.deepEqual(verified, content);
});

test('we verify what openssl signs, and nothing that was changed', { skip: missing('openssl') }, async () => {
  const key = createPublicKey(ours.privateKey);
  for (const digest of ['sha256', 'sha384', 'sha512']) {
    const message = parseSignedData(await sign(digest));
    assert.ok(verifySignedData(message, key), digest);
    assert.deepEqual(Buffer.from(message.content!), content);
    assert.deepEqual(Buffer.from(message.certificates[0]!), Buffer.from(ours.certificate.der));
    assert.deepEqual(Buffer.from(message.serial), Buffer.from(ours.certificate.serial));
    assert.ok(!verifySignedData(message, credential().transport.publicKey), 'another key');
    assert.ok(!verifySignedData({ ...message, content: Buffer.from('another') }, key), 'other content');
    assert.ok(!verifySignedData({ ...message, content: null }, key), 'no content');
    const changed = Uint8Array.from(message.signedOctets);
    changed[changed.length - 1]! ^= 1;
    assert.ok(!verifySignedData({ ...message, signedOctets: changed }, key), 'other attributes');
  }
  const old = parseSignedData(await sign('sha1'));
  assert.equal(old.digest, 'sha1');
  assert.ok(!verifySignedData(old, key));
  assert.ok(verifySignedData(old, key, 'sha1'));
  assert.ok(!verifySignedData({ ...old, content: Buffer.from('another') }, key, 'sha1'));
  refuses(parseSignedData, await sign('sha256', '-noattr'));
  refuses(parseSignedData, await sign('sha256', '-keyid'));
});

test('openssl opens what we seal', { skip: missing('openssl') }, async () => {
  // OpenSSL itself has DES no more.
  const ciphers = (Object.keys(contentCiphers) as ContentCipher[]).filter((cipher) => cipher !== 'des-cbc');
  for (const cipher of ciphers) {
    writeFileSync(file('sealed.der'), sealEnvelope(content, ours.certificate, cipher));
    const opened = await openssl(
      '-decrypt',
      '-inform',
      'DER',
      '-in',
      file('sealed.der'),
      '-recip',
      file('cert.pem'),
      '-inkey',
      file('key.pem'),
      '-binary',
    );
    assert.deepEqual(opened, content, cipher);
  }
});

test('we open what openssl seals, and whatever does not open is the same nothing', { skip: missing('openssl') }, async () => {
  for (const cipher of ['aes-128-cbc', 'aes-192-cbc', 'aes-256-cbc', 'des-ede3-cbc'] as const) {
    const envelope = { ...(await seal(cipher === 'des-ede3-cbc' ? 'des3' : cipher)), cipher };
    const encryptedKey = envelope.recipients[0]!.encryptedKey!;
    assert.deepEqual(Buffer.from(ours.transport.open(envelope, encryptedKey)!), content);
    const other = credential().transport.open(envelope, encryptedKey);
    assert.ok(other === null || !content.equals(other), 'another key');
    const changed = Uint8Array.from(encryptedKey);
    changed[10]! ^= 1;
    const opened = ours.transport.open(envelope, changed);
    assert.ok(opened === null || !content.equals(opened), 'a changed key');
    assert.equal(ours.transport.open({ ...envelope, ciphertext: envelope.ciphertext.subarray(1) }, encryptedKey), null);
    assert.equal(ours.transport.open({ ...envelope, ciphertext: new Uint8Array() }, encryptedKey), null);
  }
  assert.equal((await seal('camellia128')).cipher, null);
});

test('an envelope is sealed to RSA keys alone', () => {
  assert.throws(() => sealEnvelope(content, authority.issue({ dnsNames: ['a.example'] }).certificate, 'aes-128-cbc'), /expected RSA/);
});

test('each message is refused as the other kind, and when it is cut', async () => {
  const message = await signed();
  const sealed = sealEnvelope(content, ours.certificate, 'aes-128-cbc');
  refuses(parseEnvelopedData, message);
  refuses(parseSignedData, sealed);
  for (let length = 0; length < message.length; length += 7) refuses(parseSignedData, message.subarray(0, length));
  for (let length = 0; length < sealed.length; length += 7) refuses(parseEnvelopedData, sealed.subarray(0, length));
  refuses(parseSignedData, Buffer.alloc(300_000, 0x30));
});

test('a ciphertext in pieces, as the libraries of Go write it, is one', () => {
  const sealed = Buffer.from(sealEnvelope(content, ours.certificate, 'aes-128-cbc'));
  const { ciphertext, cipher } = parseEnvelopedData(sealed);
  assert.equal(cipher, 'aes-128-cbc');
  const pieces = inPieces(sealed, ciphertext.length);
  assert.deepEqual(Buffer.from(parseEnvelopedData(pieces).ciphertext), Buffer.from(ciphertext));
});

/** The last element as two octet strings; every length above grows by as many octets. */
function inPieces(sealed: Buffer, length: number): Buffer {
  const at = sealed.length - length;
  const [one, two] = [sealed.subarray(at, at + 5), sealed.subarray(at + 5)];
  const body = Buffer.concat([piece(one), piece(two)]);
  const head = Buffer.from(sealed.subarray(0, at - 2));
  const grown = body.length - length;
  // Every length above is of one or two octets, and none of them gets another octet.
  for (const offset of enclosing(head, sealed.length)) {
    if (head[offset - 1] === 0x82) head.writeUInt16BE(head.readUInt16BE(offset) + grown, offset);
    else head[offset]! += grown;
  }
  return Buffer.concat([head, Buffer.of(0xa0, body.length), body]);
}

function piece(octets: Buffer): Buffer {
  return Buffer.concat([Buffer.of(0x04, octets.length), octets]);
}

/** Offsets of the lengths of all elements that end where the message ends. */
function enclosing(head: Buffer, end: number): number[] {
  const offsets: number[] = [];
  for (let at = 0; at < head.length - 1; at++) {
    if (![0x30, 0xa0].includes(head[at]!)) continue;
    const first = head[at + 1]!;
    if (first === 0x82 && at + 4 + head.readUInt16BE(at + 2) === end) offsets.push(at + 2);
    else if (first < 0x80 && at + 2 + first === end) offsets.push(at + 1);
  }
  return offsets;
}
