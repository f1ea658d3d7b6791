import { hash } from 'node:crypto';

/** 32 octets of SHA-256. */
export type Hash = Uint8Array;

/** `SHA-256(0x00 || leaf)` (RFC 6962 section 2.1): the prefix keeps a leaf from being passed off as a node. */
export function hashLeaf(leaf: Uint8Array): Hash {
  return hash('sha256', Buffer.concat([LEAF_PREFIX, leaf]), 'buffer');
}

/** `SHA-256(0x01 || left || right)`. */
export function hashChildren(left: Hash, right: Hash): Hash {
  return hash('sha256', Buffer.concat([NODE_PREFIX, left, right]), 'buffer');
}

/** The root of no leaves: SHA-256 of nothing. */
export const emptyRoot: Hash = hash('sha256', new Uint8Array(), 'buffer');
export const HASH_OCTETS = 32;

const LEAF_PREFIX = Buffer.from([0]);
const NODE_PREFIX = Buffer.from([1]);
