import type { KeyObject } from 'node:crypto';
import type { SignatureAlgorithm } from '../../core/x509/signature-algorithm.ts';

/**
 * A CA key that signs, wherever it lives. Signs only what was linted (`LintedTbs`) or is a list of ours; a signature is not kept anywhere,
 * so a failed call may be retried and calls may run at the same time.
 */
export type Signer = {
  readonly publicKey: KeyObject;
  readonly algorithm: SignatureAlgorithm;
  sign(tbs: Uint8Array): Promise<Uint8Array>;
};
