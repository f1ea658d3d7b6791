import { connect, type Socket } from 'node:net';
import type { NameResolver } from './name-resolver.ts';
import type { OutsidePolicy } from './outside-policy.ts';

/** A connection to where a stranger pointed, or why there is none. The detail is fit to be shown to him. */
export type Dialled =
  | { readonly kind: 'connected'; readonly socket: Socket; readonly address: string }
  | { readonly kind: 'failed'; readonly stage: 'dns' | 'policy' | 'connection'; readonly detail: string };

/**
 * Connects to a host by name or address. The name is resolved here, once, and it is the resolved address that is judged and dialled,
 * so that no second answer of the DNS can lead elsewhere.
 */
export async function dialOutside(
  { resolver, policy }: { readonly resolver: NameResolver; readonly policy: OutsidePolicy },
  { host, port, signal }: { readonly host: string; readonly port: number; readonly signal: AbortSignal },
): Promise<Dialled> {
  const found = await resolver.addresses(host);
  if (found.kind === 'none') return { kind: 'failed', stage: 'dns', detail: `${host} has no address` };
  if (found.kind === 'failed') return { kind: 'failed', stage: 'dns', detail: `${host} could not be resolved (${found.detail})` };
  const permitted = found.values.filter((address) => policy.permits(address, port)).slice(0, MAXIMUM_ADDRESSES);
  if (permitted.length === 0) {
    return { kind: 'failed', stage: 'policy', detail: `no address of ${host} may be connected to at port ${port}` };
  }
  let detail = '';
  for (const address of permitted) {
    try {
      return { kind: 'connected', socket: await open(address, port, signal), address };
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'failed';
      detail = `connection to ${address} at port ${port}: ${code}`;
    }
    if (signal.aborted) break;
  }
  return { kind: 'failed', stage: 'connection', detail };
}

function open(address: string, port: number, signal: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connect({ host: address, port });
  // By hand: Node's own way listens to seven events of the socket, for as long as it lives.
  const giveUp = (): void => void socket.destroy(Object.assign(new Error('given up'), { code: 'ABORT_ERR' }));
  if (signal.aborted) giveUp();
  else signal.addEventListener('abort', giveUp, { once: true });
  socket.once('close', () => signal.removeEventListener('abort', giveUp));
  const late = setTimeout(
    () => socket.destroy(Object.assign(new Error('no connection in time'), { code: 'ETIMEDOUT' })),
    CONNECT_TIMEOUT_MS,
  );
  socket.once('error', (error) => {
    clearTimeout(late);
    reject(error);
  });
  socket.once('connect', () => {
    clearTimeout(late);
    // Until its user listens, and after he is done.
    socket.on('error', ignore);
    resolve(socket);
  });
  return promise;
}

function ignore(): void {}

const MAXIMUM_ADDRESSES = 4;
const CONNECT_TIMEOUT_MS = 4_000;
