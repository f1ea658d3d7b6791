import type { HostPort } from '../../platform/network/host-port.ts';
import type { StartTls } from './begin-talk.ts';
import { WireSocket } from './wire-socket.ts';

/** What a scan may cost the one address that it asks. */
export type ScanLimits = {
  readonly connections: number;
  readonly atOnce: number;
  /** Of one connection. */
  readonly timeoutMs: number;
  /** Of the whole scan. */
  readonly deadlineMs: number;
};

/** The bounded way to one address: a few connections at a time, so many in all, none after the deadline. */
export class ScanLine {
  readonly address: HostPort;
  readonly timeoutMs: number;
  /** How TLS is asked for on each connection; null: it begins at once. */
  readonly startTls: StartTls | null;
  readonly #limits: ScanLimits;
  readonly #startedAt = performance.now();
  readonly #waiting: (() => void)[] = [];
  #open = 0;
  #used = 0;
  #refused = 0;

  constructor(address: HostPort, limits: ScanLimits, startTls: StartTls | null = null) {
    this.address = address;
    this.startTls = startTls;
    this.timeoutMs = limits.timeoutMs;
    this.#limits = limits;
  }

  get used(): number {
    return this.#used;
  }

  /** Questions that were not asked, because connections or time had run out. */
  get refused(): number {
    return this.#refused;
  }

  /** Runs `talk` over a new connection, which is gone afterwards; null where no more is allowed. */
  async open<T>(talk: (wire: WireSocket) => Promise<T>): Promise<T | null> {
    while (this.#open >= this.#limits.atOnce) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#used >= this.#limits.connections || performance.now() - this.#startedAt > this.#limits.deadlineMs) {
      this.#refused++;
      this.#waiting.shift()?.();
      return null;
    }
    this.#open++;
    this.#used++;
    const wire = new WireSocket(this.address, this.timeoutMs);
    // A scan reads errors as answers; one that comes late must not end the program.
    wire.on('error', () => undefined);
    try {
      return await talk(wire);
    } finally {
      wire.destroy();
      this.#open--;
      this.#waiting.shift()?.();
    }
  }
}

/** Enough for servers of every suite of OpenSSL; a scan of a modern one takes some fifty. */
export const defaultScanLimits: ScanLimits = { connections: 200, atOnce: 4, timeoutMs: 5_000, deadlineMs: 60_000 };
