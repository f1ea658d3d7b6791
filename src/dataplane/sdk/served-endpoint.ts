import { Server, type Socket } from 'node:net';
import type { InboundGate } from '../tls/inbound-gate.ts';
import type { InboundSettings } from '../tls/proxy-settings.ts';

export type ServedEndpointOptions = {
  readonly name: string;
  readonly settings: InboundSettings;
  readonly makeGate: (settings: InboundSettings) => InboundGate;
  readonly onEnd: () => void;
};

/** An endpoint that a server of this process serves: new connections meet the gate of the settings in force, or nobody. */
export class ServedEndpoint {
  readonly name: string;
  readonly #options: ServedEndpointOptions;
  #gate: InboundGate | null;
  #server: Server | null = null;

  constructor(options: ServedEndpointOptions) {
    this.name = options.name;
    this.#options = options;
    this.#gate = options.makeGate(options.settings);
  }

  get settings(): InboundSettings | null {
    return this.#gate?.settings ?? null;
  }

  get isListening(): boolean {
    return this.#server?.listening === true;
  }

  /** Takes the connections of a server that listens. */
  attach(server: Server): void {
    this.#server = server;
    server.maxConnections ||= MAXIMUM_CONNECTIONS;
    server.once('close', () => this.#options.onEnd());
  }

  accept(socket: Socket): void {
    if (this.#gate === null) socket.destroy();
    else this.#gate.accept(socket);
  }

  /** Null where the endpoint is in the settings no more: then nobody is admitted. */
  update(settings: InboundSettings | null): void {
    if (settings === null) {
      const old = this.#gate;
      this.#gate = null;
      if (old !== null) void old.retire(old.settings.drainMs);
    } else if (this.#gate === null) this.#gate = this.#options.makeGate(settings);
    else this.#gate.update(settings);
  }

  async retire(withinMs: number): Promise<void> {
    // Not the close of node:http, which cuts idle connections: a call may be on its way over one.
    if (this.#server !== null && this.isListening) Server.prototype.close.call(this.#server);
    await this.#gate?.retire(withinMs);
    this.#options.onEnd();
  }
}

/** Each costs some 100 kB with TLS; beyond this the kernel's queue is where newcomers wait best. */
const MAXIMUM_CONNECTIONS = 20_000;
