import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { RevokedIndex } from './revoked-index.ts';
import type { TlsContexts } from './tls-contexts.ts';

/** What is in force now. Each field is replaced as a whole, in one turn; readers take what is there when they look. */
export type LiveState = {
  generation: bigint;
  revoked: RevokedIndex;
  /** Of the own certificate and the trust bundle in force. */
  contexts: TlsContexts;
  readonly spiffeId: SpiffeId;
};
