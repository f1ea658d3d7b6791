import type { KeyObject } from 'node:crypto';
import type { Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { CallCredentials, ChannelCredentials } from '@grpc/grpc-js';
import { Problem } from '../../core/problems/problem.ts';
import { encodePem } from '../../core/x509/pem.ts';
import type { HostPort } from '../../platform/network/host-port.ts';
import { readPeerChain } from '../../platform/network/peer-chain.ts';

export type ClientCertificate = { readonly chain: readonly Uint8Array[]; readonly key: KeyObject };

export type ConnectionOptions = {
  readonly control: HostPort;
  /** Null for a join. */
  readonly certificate: ClientCertificate | null;
  /** Judges what the server presented, leaf first. @throws control-plane-unverified */
  readonly judge: (chain: readonly Uint8Array[]) => void;
  /** Ends the attempt, or the connection at any later time. */
  readonly signal?: AbortSignal;
};

/**
 * The place where a grpc-js client gets its socket. grpc-js writes the HTTP/2 preface only on the socket that `connect` returned,
 * so a server that fails the judgement has seen a TLS handshake and nothing else.
 */
export class JudgedCredentials extends ChannelCredentials {
  readonly #options: ConnectionOptions;
  #socket: TLSSocket | null = null;
  #used = false;
  failure: Error | null = null;
  readonly #closed = Promise.withResolvers<void>();

  constructor(options: ConnectionOptions) {
    super();
    this.#options = options;
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  destroy(): void {
    this.#used = true;
    this.#socket?.destroy();
    this.#closed.resolve();
  }

  _isSecure(): boolean {
    return true;
  }

  _equals(other: ChannelCredentials): boolean {
    return other === this;
  }

  _createSecureConnector() {
    return {
      connect: async (tcp: Socket) => ({ socket: await this.#connect(tcp), secure: true }),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => CallCredentials.createEmpty(),
      destroy: () => {},
    };
  }

  async #connect(tcp: Socket): Promise<TLSSocket> {
    if (this.#used) throw new Problem('control-plane-unreachable', 'Cannot connect again: the connection was used, expected a new one');
    this.#used = true;
    try {
      return await this.#handshake(tcp);
    } catch (error) {
      this.failure =
        error instanceof Problem
          ? error
          : new Problem('control-plane-unreachable', 'Cannot connect to control plane: the TLS handshake broke', { cause: error });
      tcp.destroy();
      this.#closed.resolve();
      throw this.failure;
    }
  }

  #handshake(tcp: Socket): Promise<TLSSocket> {
    const { certificate, judge } = this.#options;
    return new Promise((resolve, reject) => {
      const socket = connectTls({
        socket: tcp,
        minVersion: 'TLSv1.3',
        ALPNProtocols: ['h2'],
        // Judged below, by rules that OpenSSL's verdict and Node's name check do not have.
        rejectUnauthorized: false,
        ...(certificate === null ? {} : { cert: toPem(certificate.chain), key: certificate.key.export({ type: 'pkcs8', format: 'pem' }) }),
      });
      this.#socket = socket;
      socket.once('error', reject);
      socket.once('close', () => {
        this.#closed.resolve();
        reject(new Error('the connection was closed'));
      });
      socket.once('secureConnect', () => {
        try {
          if (socket.alpnProtocol !== 'h2')
            throw new Problem('control-plane-unverified', 'Cannot trust server: it speaks no HTTP/2, expected ALPN h2');
          judge(readPeerChain(socket));
          socket.off('error', reject);
          resolve(socket);
        } catch (error) {
          socket.destroy();
          reject(error);
        }
      });
    });
  }
}

function toPem(chain: readonly Uint8Array[]): string {
  return chain.map((der) => encodePem('CERTIFICATE', der)).join('');
}
