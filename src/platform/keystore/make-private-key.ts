import { generateKeyPair, type KeyObject } from 'node:crypto';

/** A fresh ECDSA P-256 key. It is made where it is used and leaves this machine only as the CSR's public half. */
export function makePrivateKey(): Promise<KeyObject> {
  return new Promise((resolve, reject) => {
    generateKeyPair('ec', { namedCurve: 'P-256' }, (error, _publicKey, privateKey) => (error ? reject(error) : resolve(privateKey)));
  });
}
