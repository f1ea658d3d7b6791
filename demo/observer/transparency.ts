/**
 * The observer's own reading of a transparency log: RFC 6962 section 2.1 tree hashes over exported entries, and checkpoints as
 * C2SP signed notes. Written apart from the product, so that both would have to be wrong alike.
 */
import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';

export type Checkpoint = { readonly origin: string; readonly size: number; readonly root: string; readonly text: string };

/**
 * Reads a signed note and checks its Ed25519 signature by `verifierKey` (`name+hash+base64`, algorithm octet 0x01).
 * @throws Error naming what is wrong
 */
export function openCheckpoint(note: string, verifierKey: string): Checkpoint {
  const split = note.indexOf('\n\n');
  if (split === -1) throw new Error('no signatures');
  const text = note.slice(0, split + 1);
  const { name, id, key } = readVerifierKey(verifierKey);
  const signature = note
    .slice(split + 2)
    .split('\n')
    .map((line) => /^— (\S+) (\S+)$/.exec(line))
    .find((found) => found?.[1] === name)?.[2];
  const octets = Buffer.from(signature ?? '', 'base64');
  if (octets.length !== 4 + 64 || !octets.subarray(0, 4).equals(id)) throw new Error(`no signature of ${name}`);
  if (!verify(null, Buffer.from(text), key, octets.subarray(4))) throw new Error('the signature is wrong');
  const [origin = '', size = '', root = ''] = text.split('\n');
  if (!/^(0|[1-9]\d*)$/.test(size)) throw new Error('the size is no number');
  return { origin, size: Number(size), root, text };
}

function readVerifierKey(line: string): { readonly name: string; readonly id: Buffer; readonly key: KeyObject } {
  const [name = '', hash = '', ...rest] = line.trim().split('+');
  const octets = Buffer.from(rest.join('+'), 'base64');
  if (octets.length !== 33 || octets[0] !== 1) throw new Error('the verifier key is no Ed25519 key');
  const id = createHash('sha256').update(name).update('\n').update(octets).digest().subarray(0, 4);
  if (id.toString('hex') !== hash) throw new Error('the verifier key does not match its hash');
  return { name, id, key: createPublicKey({ key: Buffer.concat([ED25519_SPKI, octets.subarray(1)]), format: 'der', type: 'spki' }) };
}

/** The roots of the tree at the wanted sizes, base64, in one pass over the leaves (RFC 6962 section 2.1). */
export function computeRoots(leaves: readonly Buffer[], sizes: ReadonlySet<number>): Map<number, string> {
  const roots = new Map<number, string>();
  if (sizes.has(0)) roots.set(0, createHash('sha256').digest('base64'));
  /** Roots of the full subtrees to the left, widest first: the binary digits of the number of leaves. */
  const peaks: { readonly width: number; readonly hash: Buffer }[] = [];
  leaves.forEach((leaf, index) => {
    let peak = { width: 1, hash: leaf };
    while (peaks.at(-1)?.width === peak.width) peak = { width: peak.width * 2, hash: hashNode(peaks.pop()!.hash, peak.hash) };
    peaks.push(peak);
    if (!sizes.has(index + 1)) return;
    const root = peaks.map(({ hash }) => hash).reduceRight((right, left) => hashNode(left, right));
    roots.set(index + 1, root.toString('base64'));
  });
  return roots;
}

export function hashLeaf(entry: Uint8Array): Buffer {
  return createHash('sha256')
    .update(Buffer.from([0]))
    .update(entry)
    .digest();
}

function hashNode(left: Buffer, right: Buffer): Buffer {
  return createHash('sha256')
    .update(Buffer.from([1]))
    .update(left)
    .update(right)
    .digest();
}

/** RFC 8410: what stands before the 32 octets of an Ed25519 public key in its SubjectPublicKeyInfo. */
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex');
