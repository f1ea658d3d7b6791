import type { Socket } from 'node:net';
import { Beginnings } from './beginnings.ts';
import { type Newcomer, newcomerOf } from './newcomer.ts';
import type { PortDeps } from './port-deps.ts';
import type { InboundSettings } from './proxy-settings.ts';

/**
 * Turns connections away that are past a limit of their endpoint, before anything of them is read. Each is counted; one a second is
 * logged for all, because a line for each would hurt more than the crowd.
 */
export class CrowdControl {
  readonly #deps: PortDeps;
  readonly #beginnings = new Beginnings();
  #untold = 0;
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(deps: PortDeps) {
    this.#deps = deps;
  }

  /** One more may come beside so many that are open here. */
  hasRoom(socket: Socket, open: number, settings: InboundSettings): boolean {
    const { endpointId, maximumConnections } = settings;
    if (open + this.#deps.elsewhere.openAt(endpointId) < maximumConnections) return true;
    this.#turnAway(newcomerOf(socket, null), settings, `${maximumConnections} are open`);
    return false;
  }

  /** One more of its address may begin. */
  mayBegin(newcomer: Newcomer, settings: InboundSettings): boolean {
    const { handshakesPerAddress } = settings;
    if (this.#beginnings.take(newcomer.socket, newcomer.host, handshakesPerAddress)) return true;
    this.#turnAway(newcomer, settings, `${handshakesPerAddress} of its address are not admitted yet`);
    return false;
  }

  /** It is admitted, or gone. */
  settle(socket: Socket): void {
    this.#beginnings.leave(socket);
  }

  #turnAway({ socket, remote }: Newcomer, { endpointId, endpointName, anonymousMode }: InboundSettings, detail: string): void {
    const { counters, live, log } = this.#deps;
    socket.destroy();
    counters.count({
      side: 'receiver',
      endpointId,
      caller: '',
      generation: live.generation,
      channel: 'plaintext',
      unit: 'connection',
      outcome: anonymousMode === 'enforce' ? 'refused' : 'failed',
      reason: 'limit-exceeded',
    });
    this.#untold += 1;
    if (performance.now() - this.#toldAt < QUIET_MS) return;
    log('warn', 'connections refused', { endpoint: endpointName, reason: 'limit-exceeded', count: this.#untold, remote, detail });
    this.#untold = 0;
    this.#toldAt = performance.now();
  }
}

const QUIET_MS = 1_000;
