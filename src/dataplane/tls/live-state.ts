import type { SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { ClientCertificate } from '../../platform/keystore/client-certificates.ts';
import type { Origination } from './proxy-settings.ts';
import type { RevokedIndex } from './revoked-index.ts';
import type { TlsContexts } from './tls-contexts.ts';

/** What is in force now. Each field is replaced as a whole, in one turn; readers take what is there when they look. */
export type LiveState = {
  generation: bigint;
  revoked: RevokedIndex;
  /** Of the own certificate and the trust bundle in force. */
  contexts: TlsContexts;
  /** What this data plane holds of its own, by the only server that each is for. */
  clientCertificates: ReadonlyMap<string, ClientCertificate>;
  readonly spiffeId: SpiffeId;
};

/** What is held for the server that the origination names, where it shall see that; else null. */
export function heldFor({ clientCertificates }: Readonly<LiveState>, origination: Origination): ClientCertificate | null {
  return origination.kind === 'tls' && origination.shows === 'held' ? (clientCertificates.get(origination.serverName) ?? null) : null;
}
