import type { KeyObject } from 'node:crypto';
import type { LintedTbs } from '../../core/x509/lint-certificate.ts';
import type { SignatureAlgorithm } from '../../core/x509/signature-algorithm.ts';

/**
 * A CA key that signs, wherever it lives. It signs only what was linted, which its argument's type proves.
 * A signature is kept nowhere, so a failed call may be repeated, and calls may run at the same time.
 */
export type Signer = {
  readonly publicKey: KeyObject;
  readonly algorithm: SignatureAlgorithm;
  sign(tbs: LintedTbs): Promise<Uint8Array>;
};
