import type { BodyKind } from '../../core/cmp/pki-message.ts';
import type { PkiFailure } from '../../core/cmp/pki-status.ts';
import { errorNode } from '../../core/cmp/write-bodies.ts';
import type { DerNode } from '../../core/x509/der-writer.ts';

/** What is answered, before it is protected. */
export type CmpAnswer = {
  readonly kind: BodyKind;
  readonly content: DerNode;
  /** generalInfo. */
  readonly info?: readonly DerNode[];
  /** DER, to be found beside the message: what stands between an issued certificate and its root. */
  readonly certificates?: readonly Uint8Array[];
};

export function errorAnswer(failure: PkiFailure): CmpAnswer {
  return { kind: 'error', content: errorNode({ status: 'rejection', failure }) };
}
