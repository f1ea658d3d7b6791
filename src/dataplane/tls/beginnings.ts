import type { Socket } from 'node:net';

/** Connections that have begun and are not known yet, counted by where they come from. */
export class Beginnings {
  readonly #hosts = new Map<Socket, string>();
  readonly #counts = new Map<string, number>();

  /** False where the host has so many already. What comes from no address, as over a Unix socket, is not counted. */
  take(socket: Socket, host: string | null, most: number): boolean {
    if (host === null) return true;
    const count = this.#counts.get(host) ?? 0;
    if (count >= most) return false;
    this.#counts.set(host, count + 1);
    this.#hosts.set(socket, host);
    return true;
  }

  /** It is known now, or gone; called again it does nothing. */
  leave(socket: Socket): void {
    const host = this.#hosts.get(socket);
    if (host === undefined) return;
    this.#hosts.delete(socket);
    const count = this.#counts.get(host)!;
    if (count === 1) this.#counts.delete(host);
    else this.#counts.set(host, count - 1);
  }
}
