import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import type { Secret } from '../../core/secrets/secret.ts';
import { signatureAlgorithmFor, signatureParameters } from '../../core/x509/signature-algorithm.ts';
import type { Signer } from './signer.ts';

/** A signer whose key is in this process. @throws RangeError if the key is of a kind that no certificate of ours is signed with */
export function makeSoftwareSigner(privateKeyDer: Secret<Uint8Array>): Signer {
  const privateKey = createPrivateKey({ key: Buffer.from(privateKeyDer.reveal()), type: 'pkcs8', format: 'der' });
  const algorithm = signatureAlgorithmFor(privateKey);
  const { hash, options } = signatureParameters(algorithm);
  const key = { key: privateKey, ...options };
  return {
    publicKey: createPublicKey(privateKey),
    algorithm,
    sign: isQuick(privateKey)
      ? async (tbs) => sign(hash, tbs, key)
      : (tbs) =>
          new Promise((resolve, reject) =>
            sign(hash, tbs, key, (error, signature) => (error === null ? resolve(signature) : reject(error))),
          ),
  };
}

/** P-256 and Ed25519 sign in some 50 µs, less than a trip to the thread pool costs; the others would stall the loop. */
function isQuick(key: KeyObject): boolean {
  return key.asymmetricKeyType === 'ed25519' || key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
}
