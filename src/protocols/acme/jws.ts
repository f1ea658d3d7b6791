import { decodeBase64url } from './base64url.ts';
import { type AccountKey, isJwsAlgorithm, type JwsAlgorithm, jwsAlgorithms, parseJwk, verifyJwsSignature } from './jwk.ts';
import { AcmeProblem, malformed } from './problems.ts';

/** A flattened JWS as it came in (RFC 8555 section 6.2); nothing is verified but its form. */
export type Jws = {
  readonly algorithm: JwsAlgorithm;
  readonly signer: { readonly kind: 'jwk'; readonly key: AccountKey } | { readonly kind: 'kid'; readonly kid: string };
  readonly url: string;
  /** Null: there is none, as inside a key change. */
  readonly nonce: string | null;
  /** Null: the empty payload of POST-as-GET. */
  readonly payload: { readonly [name: string]: unknown } | null;
  /** What is signed, and by what. */
  readonly signingInput: string;
  readonly signature: Uint8Array;
};

/** @throws malformed, badSignatureAlgorithm, badPublicKey */
export function parseJws(value: unknown): Jws {
  const { protectedText, payloadText, signature } = readParts(value);
  const header = readObject(protectedText, 'the protected header');
  const { alg, jwk, kid, url, nonce } = header;
  if (Object.hasOwn(header, 'crit') || Object.hasOwn(header, 'b64')) throw malformed('the JWS has crit or b64, which ACME has no use for');
  if (typeof alg !== 'string') throw malformed('the JWS has no alg');
  if (!isJwsAlgorithm(alg)) throw badAlgorithm(`alg ${JSON.stringify(alg.slice(0, 40))}`);
  if (typeof url !== 'string') throw malformed('the JWS has no url');
  if (nonce !== undefined && typeof nonce !== 'string') throw malformed('the nonce is no text');
  if ((jwk === undefined) === (kid === undefined)) throw malformed('expected exactly one of jwk and kid');
  return {
    algorithm: alg,
    signer: readSigner(alg, jwk, kid),
    url,
    nonce: nonce ?? null,
    payload: payloadText === '' ? null : readObject(payloadText, 'the payload'),
    signingInput: `${protectedText}.${payloadText}`,
    signature,
  };
}

/** @throws badSignatureAlgorithm if the key is of another kind; malformed if the signature is not this key's */
export function verifyJws(jws: Jws, key: AccountKey): void {
  if (jws.algorithm !== key.algorithm) throw badAlgorithm(`alg ${jws.algorithm} with a key for ${key.algorithm}`);
  if (!verifyJwsSignature(key, jws.signingInput, jws.signature)) throw malformed('the signature does not verify');
}

/** Parses the JSON text of a request body. @throws malformed */
export function parseJsonText(text: string, what: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw malformed(`${what} is not JSON`, { cause });
  }
}

function readParts(value: unknown): { readonly protectedText: string; readonly payloadText: string; readonly signature: Uint8Array } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('the body is no JWS object');
  if (Object.hasOwn(value, 'header') || Object.hasOwn(value, 'signatures')) {
    throw malformed('the JWS has an unprotected header or several signatures, expected the flattened form');
  }
  const { protected: protectedText, payload: payloadText, signature } = value as { readonly [name: string]: unknown };
  if (typeof protectedText !== 'string' || typeof payloadText !== 'string' || typeof signature !== 'string') {
    throw malformed('the JWS lacks protected, payload or signature as text');
  }
  const octets = decodeBase64url(signature);
  if (octets === null || octets.length === 0) throw malformed('the signature is not base64url');
  return { protectedText, payloadText, signature: octets };
}

function readObject(text: string, what: string): { readonly [name: string]: unknown } {
  const octets = decodeBase64url(text);
  if (octets === null) throw malformed(`${what} is not base64url without padding`);
  const value = parseJsonText(utf8.decode(octets), what);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(`${what} is no JSON object`);
  return value as { readonly [name: string]: unknown };
}

function readSigner(algorithm: JwsAlgorithm, jwk: unknown, kid: unknown): Jws['signer'] {
  if (jwk !== undefined) {
    const key = parseJwk(jwk);
    if (key.algorithm !== algorithm) throw badAlgorithm(`alg ${algorithm} with a key for ${key.algorithm}`);
    return { kind: 'jwk', key };
  }
  if (typeof kid !== 'string') throw malformed('kid is no text');
  return { kind: 'kid', kid };
}

/** RFC 8555 section 6.2: the answer lists what would do. */
function badAlgorithm(what: string): AcmeProblem {
  return new AcmeProblem('badSignatureAlgorithm', `Cannot verify JWS: ${what}, expected ${jwsAlgorithms.join(', ')}`, {
    members: { algorithms: jwsAlgorithms },
  });
}

/** Octets that are no UTF-8 become replacement characters, which no URL, name or key of ours holds. */
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
