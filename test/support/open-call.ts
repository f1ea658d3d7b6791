import { Agent, request, type IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';

/** What came of one call; status 0: nothing did. */
export type CallAnswer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly text: string };

export type CallAsked = {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: { readonly [name: string]: string };
  readonly body?: string;
};

/** One connection that stays open from call to call. */
export class OpenConnection implements Disposable {
  readonly socket: Socket;
  readonly #agent: Agent;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => {});
    this.#agent = new Agent({ keepAlive: true, maxSockets: 1 });
    // A second connection would be another one than that which is examined.
    let isTaken = false;
    this.#agent.createConnection = (() => {
      if (isTaken) throw new Error('the connection is gone');
      isTaken = true;
      return socket;
    }) as unknown as Agent['createConnection'];
  }

  /** Connects and shakes hands; null if that fails. */
  static overTls(port: number, options: ConnectionOptions): Promise<OpenConnection | null> {
    const { promise, resolve } = Promise.withResolvers<OpenConnection | null>();
    const socket: TLSSocket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
    socket.once('secureConnect', () => resolve(new OpenConnection(socket)));
    socket.once('error', () => resolve(null));
    return promise;
  }

  call({ method = 'GET', path = '/', headers = {}, body = '' }: CallAsked = {}): Promise<CallAnswer> {
    return new Promise((resolve) => {
      const none = (): void => resolve({ status: 0, headers: {}, text: '' });
      const asked = request({ agent: this.#agent, method, path, headers: { host: 'orders', ...headers } }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
        response.on('error', none);
      });
      asked.on('error', none);
      asked.end(body);
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
    this.socket.destroy();
  }
}
