import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { Problem } from '../problems/problem.ts';

/** Who signs notes: a name and an Ed25519 key (C2SP signed-note). */
export type NoteVerifier = { readonly name: string; readonly keyId: number; readonly publicKey: KeyObject };

/** Text ending in a newline, and the signatures under it. */
export type SignedNote = { readonly text: string; readonly signatures: readonly NoteSignature[] };
export type NoteSignature = { readonly name: string; readonly keyId: number; readonly signature: Uint8Array };

/** Signs the text with an Ed25519 private key. */
export function signNote(text: string, name: string, privateKey: KeyObject): string {
  const keyId = keyIdOf(name, privateKey);
  const octets = Buffer.concat([writeKeyId(keyId), sign(null, Buffer.from(text), privateKey)]);
  return `${text}\n— ${name} ${octets.toString('base64')}\n`;
}

/** Kept for the key that signs: each commit that records something signs with it. */
function keyIdOf(name: string, privateKey: KeyObject): number {
  const kept = keyIds.get(privateKey);
  if (kept?.name === name) return kept.keyId;
  const { keyId } = noteVerifier(name, createPublicKey(privateKey));
  keyIds.set(privateKey, { name, keyId });
  return keyId;
}

/** Splits a note. @throws log-invalid */
export function parseNote(note: string): SignedNote {
  const at = note.lastIndexOf('\n\n');
  if (note.length > MAXIMUM_CHARACTERS || at === -1 || !note.endsWith('\n')) throw invalid('no text with signatures under it');
  const lines = note.slice(at + 2, -1).split('\n');
  if (lines.length > MAXIMUM_SIGNATURES) throw invalid(`${lines.length} signatures`);
  const signatures = lines.map((line): NoteSignature => {
    const match = /^— (\S+) ([A-Za-z0-9+/]+={0,2})$/.exec(line);
    const octets = Buffer.from(match?.[2] ?? '', 'base64');
    if (match === null || octets.length < 5) throw invalid('a broken signature line');
    return { name: match[1]!, keyId: octets.readUInt32BE(0), signature: octets.subarray(4) };
  });
  return { text: note.slice(0, at + 1), signatures };
}

/** The text, if this verifier's signature is under it. @throws log-invalid */
export function openNote(note: string, verifier: NoteVerifier): string {
  const { text, signatures } = parseNote(note);
  const own = signatures.filter(({ name, keyId }) => name === verifier.name && keyId === verifier.keyId);
  if (own.length === 0 || !own.every(({ signature }) => verify(null, Buffer.from(text), verifier.publicKey, signature))) {
    throw invalid(`no good signature of ${verifier.name}`);
  }
  return text;
}

/** The verifier of an Ed25519 public key; the key id binds name and key (C2SP signed-note). */
export function noteVerifier(name: string, publicKey: KeyObject): NoteVerifier {
  const digest = createHash('sha256')
    .update(`${name}\n`)
    .update(Buffer.from([ED25519]))
    .update(rawKey(publicKey))
    .digest();
  return { name, keyId: digest.readUInt32BE(0), publicKey };
}

/** `name+keyid+base64(type || key)`: how verifiers are handed around. */
export function encodeVerifier({ name, keyId, publicKey }: NoteVerifier): string {
  return `${name}+${keyId.toString(16).padStart(8, '0')}+${Buffer.concat([Buffer.from([ED25519]), rawKey(publicKey)]).toString('base64')}`;
}

/** @throws log-invalid */
export function parseVerifier(text: string): NoteVerifier {
  const match = /^(\S+?)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})$/.exec(text.trim());
  const octets = Buffer.from(match?.[3] ?? '', 'base64');
  if (match === null || octets.length !== 33 || octets[0] !== ED25519) throw invalid('a broken verifier key');
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: octets.subarray(1).toString('base64url') }, format: 'jwk' });
  const verifier = noteVerifier(match[1]!, publicKey);
  if (verifier.keyId !== Number.parseInt(match[2]!, 16)) throw invalid('a verifier key whose id does not fit');
  return verifier;
}

function rawKey(publicKey: KeyObject): Buffer {
  return Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
}

function writeKeyId(keyId: number): Buffer {
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE(keyId);
  return octets;
}

function invalid(found: string): Problem {
  return new Problem('log-invalid', `Cannot use signed note: ${found}`);
}

/** The algorithm octet of Ed25519 signatures. */
const ED25519 = 1;
const MAXIMUM_CHARACTERS = 65_536;
const MAXIMUM_SIGNATURES = 64;
const keyIds = new WeakMap<KeyObject, { readonly name: string; readonly keyId: number }>();
