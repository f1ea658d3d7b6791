import type { TLSSocket } from 'node:tls';
import { readPeerChain } from '../../platform/network/peer-chain.ts';
import type { Peer } from './peer.ts';
import type { PortDeps } from './port-deps.ts';

/** What a handshake that is over showed of whoever called. `legacy`: it was one that the policy does not allow. */
export function readPeer({ live, kept, clock }: PortDeps, socket: TLSSocket, legacy: boolean): Peer {
  const resumed = socket.isSessionReused();
  const leaf = socket.getPeerX509Certificate()?.raw;
  if (leaf === undefined) {
    return { channel: 'tls', identity: null, offence: legacy ? 'tls-version' : 'no-certificate', certificate: null, resumed };
  }
  const judged = kept.judge(clock.now(), live.contexts.trust, { leaf, readChain: () => readPeerChain(socket), resumed, usage: 'client' });
  if (judged.kind === 'unproved') {
    return { channel: 'tls', identity: null, offence: legacy ? 'tls-version' : judged.reason, certificate: judged.certificate, resumed };
  }
  const { identity } = judged;
  return { channel: 'mtls', identity, offence: legacy ? 'tls-version' : null, certificate: identity.certificate, resumed };
}
