import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { dialPlain, type Dialer } from '../tls/dial.ts';
import { formatAddress } from '../tls/address.ts';
import { UpstreamFailure } from '../tls/upstream-failure.ts';
import type { EndpointWay } from './endpoint-way.ts';
import { LateSocket } from './late-socket.ts';

/** For `new Pool({ ...pgOptions, user, database })` of pg: every connection goes the way to the endpoint, TLS included. */
export type PgOptions = { readonly host: string; readonly ssl: false; readonly stream: () => Duplex };

export function pgOptionsFor(endpoint: string, findWay: () => EndpointWay): PgOptions {
  const dial = (): Promise<Socket> => {
    const way = findWay();
    return way.settings.origination.kind === 'plaintext' ? way.connect() : way.connect(askPostgresForTls);
  };
  // pg itself would ask for TLS by ways of its own; this stream has it already.
  return { host: endpoint, ssl: false, stream: () => new LateSocket(dial) };
}

/** For `new Redis({ ...redisOptions })` of ioredis. */
export type RedisOptions = {
  readonly host: string;
  /** The type that ioredis has for it is a class with protected members, which nothing outside of ioredis can be. */
  readonly Connector: any;
};

/** What ioredis asks of its connectors. */
type RedisConnector = {
  firstError?: Error;
  check(info: unknown): boolean;
  connect(onError: unknown): Promise<Socket>;
  disconnect(): void;
};

export function redisOptionsFor(endpoint: string, findWay: () => EndpointWay): RedisOptions {
  class EndpointConnector implements RedisConnector {
    #socket: Socket | null = null;
    #isWanted = true;

    check(): boolean {
      return true;
    }

    async connect(): Promise<Socket> {
      this.#isWanted = true;
      const socket = await findWay().connect();
      if (!this.#isWanted) {
        socket.destroy();
        throw new Error('Connection is closed.');
      }
      this.#socket = socket;
      return socket;
    }

    disconnect(): void {
      this.#isWanted = false;
      this.#socket?.end();
    }
  }
  return { host: endpoint, Connector: EndpointConnector };
}

/** SSLRequest: the server agrees to TLS with one octet before the handshake begins (PostgreSQL, Message Flow, SSL Session Encryption). */
const askPostgresForTls: Dialer = async (address, signal) => {
  const socket = await dialPlain(address, signal);
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const timer = setTimeout(() => reject(new Error('no answer in time')), ANSWER_MS);
  const onClose = (): void => reject(new Error('closed before an answer'));
  const onReadable = (): void => {
    const answer = socket.read(1) as Buffer | null;
    if (answer !== null) resolve(answer);
  };
  socket.once('close', onClose).on('readable', onReadable);
  socket.write(SSL_REQUEST);
  try {
    const answer = await promise;
    // Octets behind the answer would be ones that somebody put there in the clear (CVE-2021-23222).
    if (answer.toString('latin1') !== 'S' || socket.readableLength > 0) throw new Error('it does not speak TLS');
    return socket;
  } catch (error) {
    socket.destroy();
    throw new UpstreamFailure('tls-version', `${formatAddress(address)}, ${(error as Error).message}`, {
      isTransient: false,
      cause: error,
    });
  } finally {
    clearTimeout(timer);
    socket.off('close', onClose).off('readable', onReadable);
  }
};

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);
const ANSWER_MS = 5_000;
