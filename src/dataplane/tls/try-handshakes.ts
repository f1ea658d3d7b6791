import type { Instant } from '../../core/time/instant.ts';
import type { InboundSettings } from './proxy-settings.ts';
import { shakeOwnHand } from './self-handshake.ts';
import { kindsOf, speaksTls } from './terminator-kinds.ts';
import type { TlsContexts } from './tls-contexts.ts';

/** A handshake for each kind of port that speaks TLS, before anything is changed. @throws state-conflict */
export async function tryHandshakes(now: Instant, contexts: TlsContexts, inbound: readonly InboundSettings[]): Promise<void> {
  for (const kind of kindsOf(inbound)) {
    try {
      await shakeOwnHand(now, contexts, kind);
    } catch (error) {
      // In observe a port serves plaintext whatever becomes of its certificate.
      if (kind.ports.some(speaksTls)) throw error;
    }
  }
}
