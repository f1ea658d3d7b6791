import type { KeyObject } from 'node:crypto';
import { Problem } from '../problems/problem.ts';
import { HASH_OCTETS } from './hash.ts';
import type { TreeHead } from './proof.ts';
import { type NoteVerifier, openNote, signNote } from './signed-note.ts';

/** A tree head under its log's name (C2SP tlog-checkpoint). */
export type Checkpoint = TreeHead & { readonly origin: string };

/** The signed note of a checkpoint: origin, size, root, each a line. */
export function signCheckpoint({ origin, size, root }: Checkpoint, privateKey: KeyObject): string {
  return signNote(`${origin}\n${size}\n${Buffer.from(root).toString('base64')}\n`, origin, privateKey);
}

/** @throws log-invalid if it is not signed by the verifier, is another log's, or is no checkpoint */
export function openCheckpoint(note: string, verifier: NoteVerifier): Checkpoint {
  const [origin = '', size = '', root = ''] = openNote(note, verifier).split('\n');
  const hash = Buffer.from(root, 'base64');
  if (origin !== verifier.name || !/^(0|[1-9]\d{0,15})$/.test(size) || hash.length !== HASH_OCTETS) {
    throw new Problem('log-invalid', 'Cannot read checkpoint: origin, size or root is not as it must be');
  }
  return { origin, size: Number(size), root: hash };
}
