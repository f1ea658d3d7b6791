import { BoundSocket } from 'node:net';
import { Problem } from '../../core/problems/problem.ts';
import { closeInherited } from '../proxy/socket-activation.ts';
import { type Address, formatAddress } from '../tls/address.ts';

type InternetAddress = Extract<Address, { readonly kind: 'internet' }>;

/**
 * Holds the addresses that workers share. A shared address would let any process of the same user join in unseen, so each new one has
 * to be free first; then it stays bound here, where no connection comes in, however many workers are away.
 */
export class PortClaims {
  readonly #held = new Map<string, BoundSocket>();
  readonly #inherited: Map<string, number>;
  #named: ReadonlySet<string> = new Set();

  constructor(inherited: ReadonlyMap<string, number>) {
    this.#inherited = new Map(inherited);
  }

  /** What a worker that starts now is given. */
  get inherited(): ReadonlyMap<string, number> {
    return this.#inherited;
  }

  /** Claims what is new of these; the function returned says whether they came into force. @throws state-conflict; nothing is claimed then */
  claim(addresses: readonly Address[]): (isInForce: boolean) => void {
    const named = new Set(addresses.map(formatAddress));
    const claimed: string[] = [];
    try {
      for (const address of addresses) {
        const key = formatAddress(address);
        if (address.kind === 'unix' || this.#held.has(key) || this.#inherited.has(key)) continue;
        this.#held.set(key, bind(address));
        claimed.push(key);
      }
    } catch (error) {
      this.#release(claimed);
      throw error;
    }
    return (isInForce) => {
      if (!isInForce) {
        this.#release(claimed);
        return;
      }
      this.#release([...this.#held.keys()].filter((key) => !named.has(key)));
      for (const key of this.#inherited.keys()) if (this.#named.has(key) && !named.has(key)) this.#closeInherited(key);
      this.#named = named;
    };
  }

  releaseAll(): void {
    this.#release([...this.#held.keys()]);
    for (const key of this.#inherited.keys()) if (this.#named.has(key)) this.#closeInherited(key);
  }

  #release(keys: readonly string[]): void {
    for (const key of keys) {
      this.#held.get(key)?.close();
      this.#held.delete(key);
    }
  }

  #closeInherited(key: string): void {
    closeInherited(this.#inherited.get(key)!);
    this.#inherited.delete(key);
  }
}

function bind({ host, port }: InternetAddress): BoundSocket {
  const listen = `Cannot listen at ${formatAddress({ kind: 'internet', host, port })}`;
  if (port === 0) throw new Problem('state-conflict', `${listen}: workers share a port, expected its number`);
  try {
    new BoundSocket({ host, port }).close();
    return new BoundSocket({ host, port, reusePort: true });
  } catch (error) {
    throw new Problem('state-conflict', `${listen}: ${(error as NodeJS.ErrnoException).code}`, { cause: error });
  }
}

/** @throws state-conflict on a system whose kernel spreads no connections over the sockets of one address */
export function requireSharedPorts(): void {
  try {
    new BoundSocket({ host: '127.0.0.1', port: 0, reusePort: true }).close();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Problem('state-conflict', `Cannot run workers: ${process.platform} shares no ports (${code}), expected Linux or FreeBSD`, {
      cause: error,
    });
  }
}
