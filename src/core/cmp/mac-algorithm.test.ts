import assert from 'node:assert/strict';
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { test } from 'node:test';
import { encodeDer, nullValue, octetString, oid, sequence, smallInteger } from '../x509/der-writer.ts';
import { oids } from '../x509/oid.ts';
import { MAXIMUM_PBKDF2_ITERATIONS, MAXIMUM_PBM_ITERATIONS } from './cmp-limits.ts';
import { cmpOids } from './cmp-oids.ts';
import { computeMac, type MacAlgorithm, macAlgorithmIdentifier, readMacAlgorithm } from './mac-algorithm.ts';

const salt = Buffer.from('0123456789abcdef', 'hex');
const secret = Buffer.from('s3cret');
const octets = Buffer.from('what is protected');

const pbm = ({ owf = oids.sha256 as string, iterations = 500, mac = cmpOids.hmacSha256 as string, salted = salt as Uint8Array } = {}) =>
  encodeDer(
    sequence(
      oid(cmpOids.passwordBasedMac),
      sequence(octetString(salted), sequence(oid(owf), nullValue()), smallInteger(iterations), sequence(oid(mac), nullValue())),
    ),
  );

const pbmac1 = ({ iterations = 2_000, length = 32, scheme = cmpOids.hmacSha256 as string, kdf = cmpOids.pbkdf2 as string } = {}) =>
  encodeDer(
    sequence(
      oid(cmpOids.pbmac1),
      sequence(
        sequence(
          oid(kdf),
          sequence(octetString(salt), smallInteger(iterations), smallInteger(length), sequence(oid(cmpOids.hmacSha256), nullValue())),
        ),
        sequence(oid(scheme), nullValue()),
      ),
    ),
  );

test('PasswordBasedMac hashes secret and salt so many times, and keys HMAC with the last one (RFC 9810 section 5.1.3.1)', async () => {
  const algorithm = readMacAlgorithm(pbm({ iterations: 3 }));
  assert.deepEqual(algorithm?.kind, 'pbm');
  let key = Buffer.concat([secret, salt]);
  for (let turn = 0; turn < 3; turn++) key = createHash('sha256').update(key).digest();
  assert.deepEqual(Buffer.from(await computeMac(algorithm!, secret, octets)), createHmac('sha256', key).update(octets).digest());
});

test('PBMAC1 derives the key by PBKDF2 (RFC 8018 section 7.1)', async () => {
  const algorithm = readMacAlgorithm(pbmac1());
  const key = pbkdf2Sync(secret, salt, 2_000, 32, 'sha256');
  assert.deepEqual(Buffer.from(await computeMac(algorithm!, secret, octets)), createHmac('sha256', key).update(octets).digest());
});

test('what is written is read as it was', () => {
  const all: readonly MacAlgorithm[] = [
    { kind: 'pbm', salt, owf: 'sha512', iterations: 500, mac: 'sha1' },
    { kind: 'pbm', salt, owf: 'sha384', iterations: 1, mac: 'sha384' },
    { kind: 'pbmac1', salt, iterations: 100_000, keyOctets: 64, prf: 'sha512', mac: 'sha512' },
    { kind: 'pbmac1', salt, iterations: 1, keyOctets: 16, prf: 'sha1', mac: 'sha256' },
  ];
  for (const algorithm of all) {
    const read = readMacAlgorithm(macAlgorithmIdentifier(algorithm));
    assert.deepEqual({ ...read, salt: Buffer.from(read!.salt) }, { ...algorithm, salt: Buffer.from(algorithm.salt) });
  }
});

test('SHA-1 as the hash that is iterated, an unknown MAC and another key derivation are not taken', () => {
  assert.equal(readMacAlgorithm(pbm({ owf: oids.sha1 })), null);
  assert.equal(readMacAlgorithm(pbm({ mac: '1.2.840.113549.2.5' })), null);
  assert.equal(readMacAlgorithm(pbmac1({ scheme: '1.2.840.113549.2.5' })), null);
  assert.equal(readMacAlgorithm(pbmac1({ kdf: '1.2.840.113549.1.5.99' })), null);
  assert.equal(readMacAlgorithm(encodeDer(sequence(oid(oids.ecdsaWithSha256)))), null);
});

test('iterations, salts and keys beyond their limits are malformed: what they cost is paid before anybody is known', () => {
  assert.ok(readMacAlgorithm(pbm({ iterations: MAXIMUM_PBM_ITERATIONS })));
  assert.ok(readMacAlgorithm(pbmac1({ iterations: MAXIMUM_PBKDF2_ITERATIONS })));
  for (const der of [
    pbm({ iterations: MAXIMUM_PBM_ITERATIONS + 1 }),
    pbm({ iterations: 0 }),
    pbm({ iterations: 2 ** 32 }),
    pbm({ salted: Buffer.alloc(129) }),
    pbmac1({ iterations: MAXIMUM_PBKDF2_ITERATIONS + 1 }),
    pbmac1({ length: 15 }),
    pbmac1({ length: 65 }),
    pbm().subarray(1),
    Buffer.concat([pbm(), Buffer.from([0])]),
  ])
    assert.throws(() => readMacAlgorithm(der), { code: 'der-malformed' });
});
