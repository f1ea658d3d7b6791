import type { DerLimits } from '../x509/der.ts';

/** A whole message: a request with a post-quantum key and chain beside it has some 40 KiB; nothing honest nests deeper than a name in a certificate. */
export const cmpMessageLimits: DerLimits = { maxOctets: 131_072, maxDepth: 24, maxElements: 8_000 };

/** Certificates beside a message: a chain, and some to spare. */
export const MAXIMUM_EXTRA_CERTIFICATES = 10;

/** Items of generalInfo and of a general message, controls of a request, statuses of a confirmation, revocations of a request: each is looked at by itself. */
export const MAXIMUM_ITEMS = 20;

/** Octets of a transaction ID or nonce: RFC 9810 wants 16, some clients send 20; more is no id. */
export const MAXIMUM_NONCE_OCTETS = 64;

/** Octets of a key identifier: a reference value is the id of a secret, an SKI is a hash. */
export const MAXIMUM_KEY_ID_OCTETS = 128;

/** A salt is random; more than this has no use. */
export const MAXIMUM_SALT_OCTETS = 128;

/** One hash each, done in the one thread that serves everybody before anybody is known: 2,000 take some 5 ms. OpenSSL asks for 500. */
export const MAXIMUM_PBM_ITERATIONS = 2_000;

/** Two hashes each, done beside the thread that serves. */
export const MAXIMUM_PBKDF2_ITERATIONS = 100_000;
