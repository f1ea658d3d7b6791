import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { formatHostPort } from '../../platform/network/host-port.ts';
import { readPeerChain } from '../../platform/network/peer-chain.ts';
import type { Address } from '../tls/address.ts';
import { originatedAlpn } from '../tls/alpn.ts';
import { type Credential, keyPemOf } from '../tls/credential.ts';
import { judgeChain } from '../tls/kept-verdicts.ts';
import type { ProvedIdentity } from '../tls/peer.ts';
import type { Protocol } from '../tls/proxy-settings.ts';
import type { Trust } from '../tls/trust.ts';

export type OwnHandshake = {
  readonly credential: Credential;
  readonly trust: Trust;
  readonly listen: Address;
  readonly protocol: Protocol;
  /** The port takes nobody without a PROXY protocol header: we speak for ourselves. */
  readonly saysSource: boolean;
  /** Told of our end before anything is sent, so that what Envoy logs of it is known as ours. */
  readonly onLocal: (address: string) => void;
};

/**
 * Shakes hands with a port of Envoy as a caller would, and judges the certificate that it serves. In TLS 1.3 that is seen whether the port
 * then lets us in or not, and we are no caller of our own. @throws state-conflict with the reason
 */
export async function shakeHandsWithEnvoy(
  now: Instant,
  { credential, trust, listen, protocol, saysSource, onLocal }: OwnHandshake,
): Promise<ProvedIdentity> {
  const raw = dial(listen);
  if (saysSource) raw.write('PROXY UNKNOWN\r\n');
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error('it took too long')), TIMEOUT_MS);
  const socket = connectTls({
    socket: raw,
    cert: credential.chainPem,
    key: keyPemOf(credential),
    rejectUnauthorized: false,
    ALPNProtocols: [...originatedAlpn[protocol]],
  });
  raw.once('connect', () => onLocal(formatHostPort({ host: raw.localAddress ?? '', port: raw.localPort ?? 0 })));
  raw.once('error', reject);
  socket.once('error', reject);
  socket.once('secureConnect', resolve);
  socket.once('close', () => reject(new Error('it was closed in the handshake')));
  try {
    await promise;
    const judged = judgeChain(now, trust, 'server', readPeerChain(socket));
    if (judged.kind === 'unproved') throw new Error(`the certificate that it serves is not acceptable: ${judged.reason}`);
    if (judged.identity.spiffeId !== credential.spiffeId) throw new Error(`it serves ${judged.identity.spiffeId}`);
    return judged.identity;
  } catch (error) {
    throw new Problem('state-conflict', `Cannot shake hands with Envoy: ${(error as Error).message}, expected ${credential.spiffeId}`, {
      cause: error,
    });
  } finally {
    clearTimeout(timer);
    socket.on('error', () => {});
    raw.on('error', () => {});
    socket.destroy();
    raw.destroy();
  }
}

/** Who listens everywhere is found on loopback. */
function dial(listen: Address): Socket {
  if (listen.kind === 'unix') return connectTcp(listen.path);
  const { host, port } = listen;
  return connectTcp({ host: host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host, port });
}

const TIMEOUT_MS = 5_000;
