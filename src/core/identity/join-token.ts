import { Problem } from '../problems/problem.ts';
import { Secret } from '../secrets/secret.ts';
import { parseSpiffeId, type SpiffeId } from './spiffe-id.ts';

/**
 * What a data plane is given to join: which token it is, the secret half, and whom it may talk to.
 * The holder checks the pin and the control plane's identity before it sends the secret.
 */
export type JoinToken = {
  readonly tokenId: string;
  readonly secret: Secret;
  /** SHA-256 of the root's SubjectPublicKeyInfo, lower case hex. */
  readonly rootSpkiSha256: string;
  readonly controlPlane: SpiffeId;
};

/** One line of text, safe in a file and on stdin; never put it in a URL or in argv. */
export function encodeJoinToken(token: JoinToken): Secret {
  const body = JSON.stringify({ t: token.tokenId, s: token.secret.reveal(), p: token.rootSpkiSha256, c: token.controlPlane });
  return new Secret(PREFIX + Buffer.from(body).toString('base64url'));
}

/** @throws token-refused; the message never repeats the token. */
export function parseJoinToken(text: string): JoinToken {
  try {
    const trimmed = text.trim();
    if (trimmed.length > MAX_CHARACTERS || !trimmed.startsWith(PREFIX)) throw new TypeError('not a join token');
    const { t, s, p, c } = JSON.parse(Buffer.from(trimmed.slice(PREFIX.length), 'base64url').toString()) as Record<string, unknown>;
    if (typeof t !== 'string' || typeof s !== 'string' || typeof p !== 'string' || typeof c !== 'string' || !/^[0-9a-f]{64}$/.test(p)) {
      throw new TypeError('a field is missing');
    }
    return { tokenId: t, secret: new Secret(s), rootSpkiSha256: p, controlPlane: parseSpiffeId(c) };
  } catch {
    throw new Problem('token-refused', `Cannot parse join token: ${text.length} characters, expected one line that starts with ${PREFIX}`);
  }
}

const PREFIX = 'csjoin1.';
const MAX_CHARACTERS = 4096;
