import { duplexPair } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { readPeerChain } from '../../platform/network/peer-chain.ts';
import { originatedAlpn } from './alpn.ts';
import { keyPemOf } from './credential.ts';
import { judgeChain } from './kept-verdicts.ts';
import type { ProvedIdentity } from './peer.ts';
import type { TerminatorKind, TlsContexts } from './tls-contexts.ts';

/**
 * Shakes hands with our own terminator as a caller would, over a pair of streams, and judges the certificate that it serves.
 * Settings that demand mutual TLS are in force only when this has succeeded. Resolves with what was served.
 * @throws state-conflict with the reason
 */
export async function shakeOwnHand(now: Instant, contexts: TlsContexts, kind: TerminatorKind): Promise<ProvedIdentity> {
  const { credential, trust } = contexts;
  const [near, far] = duplexPair();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error('it took too long')), TIMEOUT_MS);
  let client: TLSSocket | null = null;
  try {
    contexts.terminatorFor(kind).acceptStream(far, (handshake) => {
      if (handshake.kind === 'failed') reject(new Error(handshake.detail));
      else handshake.socket.on('error', () => {});
    });
    const ALPNProtocols = [...originatedAlpn[kind.protocol]];
    client = connect({ socket: near, cert: credential.chainPem, key: keyPemOf(credential), rejectUnauthorized: false, ALPNProtocols });
    client.on('error', reject);
    client.on('secureConnect', resolve);
    await promise;
    const judged = judgeChain(now, trust, 'server', readPeerChain(client));
    if (judged.kind === 'unproved') throw new Error(`the certificate that it serves is not acceptable: ${judged.reason}`);
    if (judged.identity.spiffeId !== credential.spiffeId) throw new Error(`it serves ${judged.identity.spiffeId}`);
    return judged.identity;
  } catch (error) {
    throw new Problem(
      'state-conflict',
      `Cannot serve mutual TLS: ${(error as Error).message}, expected a handshake as ${credential.spiffeId}`,
      { cause: error },
    );
  } finally {
    clearTimeout(timer);
    client?.destroy();
    far.destroy();
  }
}

const TIMEOUT_MS = 5_000;
